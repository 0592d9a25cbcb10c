"""A repository's rows: by name, by id, and once more by name while it is public.

Deleted, it keeps its id and what it holds under a name that nobody can ask for (`keys.leaving`),
until `index.clearing` has taken all of that apart. So its own name is free at once.
"""

from collections.abc import Iterator

import msgspec

from index import keys
from index.errors import TargetMissing
from index.records import Repository
from index.transaction import Transaction
from index.view import View


def has_repository(view: View, storage: str) -> bool:
    """Whether anything lies in a storage."""
    return next(view.scan("repository", f"{storage}/".encode()), None) is not None


def iter_leaving(view: View) -> Iterator[tuple[str, Repository]]:
    """Repositories that are being taken apart; their description is the name they had."""
    for key, value in view.scan("repository", keys.LEAVING.encode()):
        yield key.decode(), Repository.decode(value)


def is_linked_in(view: View, repository: int, digest: bytes) -> bool:
    """Whether any image of a repository may serve `digest`."""
    found = view.scan("link_by_digest", digest + keys.u32(repository))
    return next(found, None) is not None


def put_repository(transaction: Transaction, name: str, record: Repository, now: int) -> None:
    """Create or change a repository.

    Raises:
        TargetMissing: there is no such storage.
    """
    storage = name.partition("/")[0]
    if transaction.storage(storage) is None:
        raise TargetMissing("storage", storage)
    before = transaction.repository(name)
    if before is None:
        number, created = transaction.take_number(keys.META_REPOSITORY, 4), now
        transaction.put("repository_by_id", keys.u32(number), name.encode())
    else:
        number, created = before.id, before.created_at
    # Revisions of the index only rise, so no later repository of this name has one of this one's.
    revision = transaction.revision() + 1
    row = msgspec.structs.replace(record, id=number, revision=revision, created_at=created)
    transaction.put("repository", name.encode(), row.encode())
    if row.visibility == "public":
        transaction.put("public", name.encode())
    elif before is not None:
        transaction.delete("public", name.encode())


def delete_repository(transaction: Transaction, name: str) -> None:
    """Let nobody find the repository any more; what it holds is `index.clearing`'s.

    Raises:
        TargetMissing: there is no such repository.
    """
    row = transaction.repository(name)
    if row is None:
        raise TargetMissing("repository", name)
    left = keys.leaving(row.id)
    transaction.delete("repository", name.encode())
    transaction.delete("public", name.encode())
    leaving = msgspec.structs.replace(row, visibility="private", description=name)
    transaction.put("repository", left.encode(), leaving.encode())
    transaction.put("repository_by_id", keys.u32(row.id), left.encode())
