"""Changes of a sorted order of entries, and its pages by rank.

An order is the blocks under one prefix of `names.TABLE`. Changes come sorted and together, so that
a block is read and written once an operation. A page costs itself and a step over the key of every
block of what it is a page of: their entries are counted there.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Final, NamedTuple

from index import blocks, names
from index.blocks import Block
from index.transaction import Transaction
from index.view import View

_TABLE: Final = names.TABLE
_FEW: Final = 8  # changes of a block that are made one by one


# --- changing ---


def edit(transaction: Transaction, start: bytes, changes: Mapping[bytes, bool]) -> None:
    """Put in (True) or take out (False) entries of the order under the prefix `start`.

    What is there already, or is not, stays as it is.
    """
    waiting = sorted(changes)
    at = 0
    while at < len(waiting):
        found = _find(transaction, start, waiting[at])
        block = Block.empty() if found is None else Block.decode(found[1])
        stop = at + 1
        if stop < len(waiting):
            stop = _reach(transaction, start, found, waiting, at)
        grows_at_end = not block.count or waiting[stop - 1] > block.last
        before = block.count
        block = _changed(block, waiting[at:stop], changes)
        old = None if found is None else found[0]
        if before > block.count and block.size < blocks.FEW:
            block, grows_at_end = _joined(transaction, start, old, block), False
        _store(transaction, start, found, block.cut(at_end=grows_at_end))
        at = stop


def _find(transaction: Transaction, start: bytes, entry: bytes) -> tuple[bytes, bytes] | None:
    """The block that an entry belongs in: the last that begins before it, else the first."""
    found = transaction.last_before(_TABLE, start, names.beyond(start, entry))
    return found or next(transaction.scan(_TABLE, start), None)


def has_entry(view: View, start: bytes, entry: bytes) -> bool:
    """Whether an order has an entry."""
    found = view.last_before(_TABLE, start, names.beyond(start, entry))
    return found is not None and entry in set(blocks.iter_entries(found[1]))


def _reach(
    transaction: Transaction,
    start: bytes,
    found: tuple[bytes, bytes] | None,
    waiting: list[bytes],
    at: int,
) -> int:
    """How far the changes from `at` on belong in the block that was found."""
    following = None if found is None else next(transaction.scan(_TABLE, start, found[0]), None)
    if following is None:
        return len(waiting)
    return max(at + 1, bisect_left(waiting, names.first_of(following[0])))


def _changed(block: Block, entries: list[bytes], changes: Mapping[bytes, bool]) -> Block:
    if len(entries) <= _FEW:
        for entry in entries:
            if changes[entry]:
                block.add(entry)
            else:
                block.remove(entry)
    else:  # one by one, the text would be copied for each of them
        left = {entry for entry in blocks.iter_entries(block.encode()) if changes.get(entry, True)}
        left.update(entry for entry in entries if changes[entry])
        block = Block.of(sorted(left), block.flag)
    if block.flag == blocks.LOWER and any(map(names.is_mixed, entries)):
        block.flag = blocks.MIXED
    return block


def _joined(transaction: Transaction, start: bytes, key: bytes | None, block: Block) -> Block:
    """A block that has become small, with a neighbour if both are; the neighbour's row goes."""
    if key is None or not block.count:
        return block
    following = next(transaction.scan(_TABLE, start, key), None)
    if following is not None and len(following[1]) + block.size <= blocks.ROOM:
        transaction.delete(_TABLE, following[0])
        return block.join(Block.decode(following[1]))
    before = _before(transaction, start, key)
    if before is not None and len(before[1]) + block.size <= blocks.ROOM:
        transaction.delete(_TABLE, before[0])
        return Block.decode(before[1]).join(block)
    return block


def _before(transaction: Transaction, start: bytes, key: bytes) -> tuple[bytes, bytes] | None:
    """The row before the one under `key`."""
    previous = key[:-2] + b"\0\0"  # no block has 0 entries
    return transaction.last_before(_TABLE, start, previous)


def _store(
    transaction: Transaction, start: bytes, old: tuple[bytes, bytes] | None, pieces: list[Block]
) -> None:
    """Write what became of a block; one that only got a neighbour at its end stays as it is."""
    rows = {
        names.block_key(start, piece.first, piece.count): piece.encode()
        for piece in pieces
        if piece.count
    }
    if old is not None and old[0] not in rows:
        transaction.delete(_TABLE, old[0])
    for row in rows.items():
        if row != old:
            transaction.put(_TABLE, *row)


def fill(transaction: Transaction, start: bytes, entries: Iterable[bytes]) -> None:
    """Write an order that has no block yet, from all of its entries, sorted."""
    room = blocks.MAX_BLOCK * 15 // 16  # full would be split by the next push of any of them
    for block in blocks.pack(entries, room, blocks.LOWER):
        encoded = block.encode()
        if any(map(names.is_mixed, blocks.iter_entries(encoded))):
            encoded = blocks.MIXED + encoded[1:]
        transaction.put(_TABLE, names.block_key(start, block.first, block.count), encoded)


# --- pages ---


class Run(NamedTuple):
    """The blocks that a range of entries lies in, and where in the first of them it begins."""

    keys: list[bytes]
    skipped: int  # entries of the first block that come before the range
    total: int  # entries of the range


def measure(view: View, start: bytes, first: bytes = b"", last: bytes | None = None) -> Run:
    """Count the entries from `first` on that come before `last`, by the counts of their blocks."""
    keys = view.scan_keys(_TABLE, start, _seek(view, start, first))
    found = list(keys if last is None else takewhile((start + last).__gt__, keys))
    total = sum(map(names.count_of, found))
    if not found:
        return Run([], 0, 0)
    skipped = 0 if not first else _rank(view, found[0], first)
    left = 0 if last is None else names.count_of(found[-1]) - _rank(view, found[-1], last)
    return Run(found, skipped, total - skipped - left)


def _seek(view: View, start: bytes, first: bytes) -> bytes:
    """Key of the block that `first` lies in, or belongs in."""
    if not first:
        return start
    found = view.last_before(_TABLE, start, names.beyond(start, first))
    return start if found is None else found[0]


def _rank(view: View, key: bytes, entry: bytes) -> int:
    """How many entries of the block under `key` come before `entry`."""
    block = view.get(_TABLE, key) or blocks.LOWER
    return bisect_left(list(blocks.iter_entries(block)), entry) if len(block) > 1 else 0


def page(view: View, run: Run, begin: int, end: int) -> list[bytes]:
    """The entries of a range from rank `begin` on that come before rank `end`."""
    end = min(end, run.total) + run.skipped
    begin += run.skipped
    found: list[bytes] = []
    passed = 0
    for key in run.keys:
        number = names.count_of(key)
        if passed >= end:
            break
        if passed + number > begin:
            entries = list(blocks.iter_entries(view.get(_TABLE, key) or blocks.LOWER))
            found += entries[max(begin - passed, 0) : end - passed]
        passed += number
    return found


def iter_backwards(view: View, start: bytes) -> Iterator[bytes]:
    """Every block of an order, the last one first."""
    for key in reversed(list(view.scan_keys(_TABLE, start, start))):
        yield view.get(_TABLE, key) or blocks.LOWER
