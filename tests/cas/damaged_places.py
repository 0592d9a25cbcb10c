"""Ways to damage names of repositories, and their journal, in the store of `tests.cas.damage`."""

from msgspec.structs import replace

from index import keys
from index.journal import entry_key, place_key
from index.records import Entry, Repository
from tests.cas.damage import add

NAME, OTHER = b"local/images", b"local/other"
NUMBER = keys.u32(1)  # the repository's, in which everything is


def number(other: int):
    """Let the repository's row say that it has another id."""

    def change(transaction) -> None:
        row = Repository.decode(transaction.get("repository", NAME))
        transaction.put("repository", NAME, replace(row, id=other).encode())

    return change


def move_the_row_by_id(transaction) -> None:
    transaction.delete("repository_by_id", NUMBER)
    transaction.put("repository_by_id", keys.u32(77), NAME)


def take_the_id_of_another(transaction) -> None:
    transaction.put("repository", OTHER, Repository(id=2, revision=1).encode())
    transaction.put("repository_by_id", keys.u32(2), OTHER)
    number(2)(transaction)


def note_a_place_twice(transaction) -> None:
    value = Entry(at=1, action="x", repository=1, number=1).encode()
    for sequence in (1, 2):
        transaction.put("journal", entry_key(sequence), value)
    transaction.put("journal", place_key(1, 1), keys.u64(2))


# name, damage, what fsck says of it; repair mends each of them, and nothing that was served goes
MENDABLE = [
    ("a repository has a second row by id", add("repository_by_id", keys.u32(77), NAME),
     "a second number of local/images"),
    ("a repository's row by id moved", move_the_row_by_id, "a second number of local/images"),
    ("a repository's row has another id", number(77),
     "repository local/images: has the id 77, and is 1"),
    ("a repository's row has the id of another", take_the_id_of_another,
     "repository local/images: has the id 2, and is 1"),
    ("two journal entries have one place", note_a_place_twice,
     "journal entry 1: its place is that of 2"),
]  # fmt: skip
