"""Take apart what deleted repositories hold, a bounded transaction at a time.

First the orders of its packages, which nobody asks for any more. Then image by image: its tags, its
manifests edge by edge, its links; then the repository's own rows. What is left is where the next
slice begins, so nothing else has to be noted, and after every slice all counts are exact: bytes
that others link too stay, and all else waits for its grace.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from index import keys
from index.apply import Commit
from index.changes import ImageName
from index.ledger import Clock
from index.listed import Unlisted
from index.placement import ROWS
from index.records import Image, Repository
from index.repositories import iter_leaving
from index.transaction import Transaction

_MOST_PER_STEP: Final = 24  # rows that one step writes, those included that are settled later


class Cleared(NamedTuple):
    """What one slice did."""

    is_over: bool  # no deleted repository is left
    gone: int  # repositories of which nothing is left
    rows: int  # written


def clear_slice(transaction: Transaction, clock: Clock, rows: int = ROWS) -> Cleared:
    """Go on with the first repository that is leaving; writes at most `rows` rows."""
    found = next(iter_leaving(transaction), None)
    if found is None:
        return Cleared(True, 0, 0)
    name, record = found
    if not _drop(transaction, _iter_orders(transaction, record), rows):
        return Cleared(False, 0, transaction.rows)
    if next(transaction.iter_images(record.id), None) is None:
        return Cleared(False, int(_end(transaction, name, record, rows)), transaction.rows)
    commit = Commit(transaction, clock, Unlisted(transaction))
    for _ in _steps(transaction, commit, name, record):
        if commit.ledger.size + _MOST_PER_STEP > rows:
            break
    commit.ledger.settle()
    return Cleared(False, 0, transaction.rows)


def _steps(
    transaction: Transaction, commit: Commit, name: str, record: Repository
) -> Iterator[None]:
    """Take one thing after the other; an image's row goes with its last link, when it settles."""
    for path, image in transaction.iter_images(record.id):
        yield from _empty(transaction, commit, ImageName(name, path), image)


def _empty(
    transaction: Transaction, commit: Commit, name: ImageName, image: Image
) -> Iterator[None]:
    while (tag := next(transaction.iter_tags(image.id), None)) is not None:
        commit.drop_tag(name, tag[0])
        yield
    while (manifest := next(transaction.iter_manifests(image.id), None)) is not None:
        digest = manifest[0]
        while (edge := next(transaction.iter_children(image.id, digest), None)) is not None:
            commit.drop_edge(image.id, digest, edge[0])
            yield
        commit.drop_manifest(name, digest)
        yield
    for key, _ in transaction.scan("link", image.id):
        commit.drop_link(name, key[keys.IMAGE_SIZE :])
        yield


def _end(transaction: Transaction, name: str, record: Repository, rows: int) -> bool:
    """Drop the rows that are the repository's own; True when that were all."""
    if not _drop(transaction, _iter_roles(transaction, record), rows):
        return False
    transaction.delete("usage", keys.u32(record.id))
    transaction.delete("repository_by_id", keys.u32(record.id))
    transaction.delete("repository", name.encode())
    return True


def _drop(transaction: Transaction, found: Iterator[tuple[str, bytes]], rows: int) -> bool:
    """Drop rows that nothing counts; True when there is room for more than they took."""
    for table, key in list(islice(found, rows)):
        if transaction.rows + _MOST_PER_STEP > rows:
            return False
        transaction.delete(table, key)
    return transaction.rows + _MOST_PER_STEP <= rows


def _iter_orders(transaction: Transaction, record: Repository) -> Iterator[tuple[str, bytes]]:
    for key, _ in transaction.scan("names", keys.u32(record.id)):
        yield "names", key


def _iter_roles(transaction: Transaction, record: Repository) -> Iterator[tuple[str, bytes]]:
    """The roles that accounts have in it; each has two rows."""
    number = keys.u32(record.id)
    granted = b"r" + number
    for key, _ in transaction.scan("grant", granted):
        yield "grant", b"u" + key[len(granted) :] + b"\0" + number
        yield "grant", key  # last: while it is there, it says that there is another
