"""Take what is due from the garbage table, a bounded transaction at a time.

What a row waits for is looked at again in the transaction that takes it: whatever was referred to
meanwhile has no garbage row any more, and a push in the same instant comes before or after it.
Nothing is scanned but what is due. Packs are `cas.maintenance.reclaim`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from index import keys
from index.apply import Commit
from index.ledger import WAS_MANIFEST, Clock
from index.listed import Unlisted
from index.placement import ROWS, let_go
from index.records import GarbageKind, Link, Object
from index.transaction import Transaction
from index.view import View

_MOST_PER_ROW: Final = 36  # rows that taking one thing may write, what hangs on a manifest apart
_ROWS_PER_EDGE: Final = 7  # both rows, link, its garbage, and of a child manifest its question
_ROWS_PER_REFERRER: Final = 3
_BEHIND_PACKS: Final = keys.garbage(0, 0xFF, b"")  # marks of packs come first: their time is 0


@dataclass(slots=True)
class Taken:
    """What one slice took. `works` are objects whose chunks are to be dismantled."""

    links: int = 0
    manifests: int = 0
    blobs: int = 0
    works: list[int] = field(default_factory=list)
    rows: int = 0  # written
    is_over: bool = False  # nothing more is due


def iter_due(view: View, now: int) -> Iterator[tuple[GarbageKind, bytes, bytes]]:
    """(kind, id, value) of what may be collected at `now`, the longest due first; no packs."""
    for key, value in view.scan("garbage", after=_BEHIND_PACKS):
        not_before, kind, name = keys.split_garbage(key)
        if not_before > now:
            return
        yield GarbageKind(kind), name, value


def collect_slice(transaction: Transaction, clock: Clock, rows: int = ROWS) -> Taken:
    """Take the next things that are due now; writes at most `rows` rows.

    A single manifest of which more rows hang is taken in one transaction of its own: half of one is
    nothing that anybody may see.
    """
    taken = Taken()
    while transaction.rows + _MOST_PER_ROW <= rows:
        found = next(transaction.scan("garbage", after=_BEHIND_PACKS), None)
        if found is None or keys.split_garbage(found[0])[0] > clock.now:
            taken.is_over = True
            break
        not_before, kind, name = keys.split_garbage(found[0])
        is_first = transaction.rows == 0
        if kind == GarbageKind.MANIFEST and not is_first and _rows_of(transaction, name) > rows:
            break  # the next slice is its own
        transaction.delete("garbage", found[0])
        match kind:
            case GarbageKind.LINK:
                _take_link(transaction, taken, (not_before, name))
            case GarbageKind.OBJECT:
                _take_object(transaction, taken, (not_before, name), found[1])
            case GarbageKind.MANIFEST:
                _take_manifest(transaction, clock, name)
    taken.rows = transaction.rows
    return taken


def _take_link(transaction: Transaction, taken: Taken, due: tuple[int, bytes]) -> None:
    not_before, key = due
    image, digest = key[: keys.IMAGE_SIZE], key[keys.IMAGE_SIZE :]
    value = transaction.get("link", key)
    name = transaction.stored_name(image)
    if value is None or name is None or not _is_due(Link.decode(value), not_before):
        return
    # The object has waited with its last link: it is due at once.
    commit = Commit(transaction, Clock(not_before, 0))
    row = commit.ledger.image(keys.number(image[:4]), name.path)
    if row is None:
        return
    commit.ledger.drop_link(name.path, row, digest)
    commit.ledger.settle()
    taken.links += 1


def _take_object(
    transaction: Transaction, taken: Taken, due: tuple[int, bytes], hint: bytes
) -> None:
    not_before, digest = due
    row = transaction.object(digest)
    if row is None or not _is_due(row, not_before):
        return
    transaction.delete("object", digest)
    if let_go(transaction, digest, row):
        taken.works.append(row.id)
    if hint == WAS_MANIFEST:
        taken.manifests += 1
    else:
        taken.blobs += 1


def _take_manifest(transaction: Transaction, clock: Clock, key: bytes) -> None:
    name = transaction.stored_name(key[: keys.IMAGE_SIZE])
    if name is None:
        return
    is_leaving = name.repository.startswith(keys.LEAVING)
    commit = Commit(transaction, clock, Unlisted(transaction) if is_leaving else None)
    commit.answer(name, key[keys.IMAGE_SIZE :])
    commit.ledger.settle()


def _rows_of(transaction: Transaction, key: bytes) -> int:
    """About how many rows the transaction has with the end of a manifest, at most."""
    image, digest = key[: keys.IMAGE_SIZE], key[keys.IMAGE_SIZE :]
    edges = sum(1 for _ in islice(transaction.iter_children(image, digest), ROWS))
    referrers = sum(1 for _ in islice(transaction.iter_referrers(image, digest), ROWS))
    written = transaction.rows + _MOST_PER_ROW
    return written + _ROWS_PER_EDGE * edges + _ROWS_PER_REFERRER * referrers


def _is_due(row: Link | Object, not_before: int) -> bool:
    return row.references == 0 and row.not_before == not_before
