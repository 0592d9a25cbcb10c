"""Every way to damage how repositories are named, in the store of `tests.cas.damage`."""

from msgspec.structs import replace

from index import keys
from index.records import Repository
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


# name, damage, what fsck says of it; repair mends each of them, and nothing that was served goes
MENDABLE = [
    ("a repository has a second row by id", add("repository_by_id", keys.u32(77), NAME),
     "a second number of local/images"),
    ("a repository's row by id moved", move_the_row_by_id, "a second number of local/images"),
    ("a repository's row has another id", number(77),
     "repository local/images: has the id 77, and is 1"),
    ("a repository's row has the id of another", take_the_id_of_another,
     "repository local/images: has the id 2, and is 1"),
]  # fmt: skip
