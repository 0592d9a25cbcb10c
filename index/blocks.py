"""Sorted entries in blocks of a page: text that a search reads as it is.

An entry is `group NUL line`, and entries are in byte order; neither group nor line has a byte below
0x20. A block has each group once:

    flag (1)   "a": no upper-case letter counts in it; "A": some may
    group LF line LF line …  NUL  group LF line …

LF and NUL sort before every other byte, so the parts are in the order of the entries they stand
for, and a block is changed by splitting and joining text, without a look at its other entries.
"""

import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, Self

# With the header of a page this is one page of LMDB: one that is free will do, wherever it is.
MAX_BLOCK: Final = 4080  # bytes
FEW: Final = MAX_BLOCK // 4  # bytes of a block that ought to join its neighbour
ROOM: Final = MAX_BLOCK * 3 // 4  # bytes of two that are joined: what comes next has to fit too
LOWER: Final = b"a"
MIXED: Final = b"A"

_GROUP: Final = b"\0"
_LINE: Final = b"\n"


def split_entry(entry: bytes) -> tuple[bytes, bytes]:
    """Split an entry into its group and its line."""
    group, _, line = entry.partition(_GROUP)
    return group, line


def join_entry(group: bytes, line: bytes) -> bytes:
    """The entry of a group and a line of it."""
    return group + _GROUP + line


def iter_parts(block: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
    """(group, its lines) of a block, in order."""
    for part in block[1:].split(_GROUP):
        group, *lines = part.split(_LINE)
        yield group, lines


def iter_entries(block: bytes) -> Iterator[bytes]:
    """The entries of a block, in order."""
    for group, lines in iter_parts(block):
        for line in lines:
            yield group + _GROUP + line


def count(block: bytes) -> int:
    """How many entries a block has."""
    return block.count(_LINE)


class Block:
    """A block that is being changed; it may grow beyond MAX_BLOCK until it is split."""

    __slots__ = ("_parts", "count", "flag", "size")

    def __init__(self, flag: bytes, parts: list[bytes]) -> None:
        self._parts = parts  # a group and its lines each, as in the block
        self.flag = flag
        self.size = sum(map(len, parts)) + max(1, len(parts))
        self.count = sum(part.count(_LINE) for part in parts)

    @classmethod
    def empty(cls) -> Self:
        """A block without an entry, which cannot be stored."""
        return cls(LOWER, [])

    @classmethod
    def of(cls, entries: Iterable[bytes], flag: bytes) -> "Block":
        """The block of sorted entries, however big."""
        return next(iter(pack(entries, sys.maxsize, flag)), cls(flag, []))

    @classmethod
    def decode(cls, block: bytes) -> Self:
        """Read what `encode` wrote."""
        return cls(block[:1], block[1:].split(_GROUP))

    def encode(self) -> bytes:
        """The block's bytes."""
        return self.flag + _GROUP.join(self._parts)

    @property
    def first(self) -> bytes:
        """The first entry."""
        group, line = self._parts[0].split(_LINE, 2)[:2]
        return group + _GROUP + line

    @property
    def last(self) -> bytes:
        """The last entry."""
        part = self._parts[-1]
        return part[: part.index(_LINE)] + _GROUP + part[part.rindex(_LINE) + 1 :]

    def add(self, entry: bytes) -> None:
        """Put an entry in its place; nothing, if it is there."""
        group, line = split_entry(entry)
        head = group + _LINE
        at = bisect_left(self._parts, head)
        if at == len(self._parts) or not self._parts[at].startswith(head):
            self._parts.insert(at, head + line)
            self.size += len(head) + len(line) + (len(self._parts) > 1)
        else:
            lines = self._parts[at].split(_LINE)
            place = bisect_left(lines, line, 1)
            if place < len(lines) and lines[place] == line:
                return
            lines.insert(place, line)
            self._parts[at] = _LINE.join(lines)
            self.size += len(line) + 1
        self.count += 1

    def remove(self, entry: bytes) -> None:
        """Take an entry away; nothing, if it is not there."""
        group, line = split_entry(entry)
        head = group + _LINE
        at = bisect_left(self._parts, head)
        if at == len(self._parts) or not self._parts[at].startswith(head):
            return
        lines = self._parts[at].split(_LINE)
        place = bisect_left(lines, line, 1)
        if place == len(lines) or lines[place] != line:
            return
        del lines[place]
        self.count -= 1
        if len(lines) > 1:
            self._parts[at] = _LINE.join(lines)
            self.size -= len(line) + 1
        else:
            del self._parts[at]
            self.size -= len(head) + len(line) + bool(self._parts)

    def join(self, other: "Block") -> "Block":
        """This block and the one that follows it in one."""
        entries = chain(iter_entries(self.encode()), iter_entries(other.encode()))
        return Block.of(entries, min(self.flag, other.flag))

    def cut(self, *, at_end: bool) -> "list[Block]":
        """The blocks that the entries of one that is too big fit into.

        `at_end`: it has grown at its end and will go on to, so all but the last are full.
        """
        if self.size <= MAX_BLOCK:
            return [self]
        pieces = -(-self.size // ROOM)
        size = MAX_BLOCK if at_end else self.size // pieces + len(self.first)
        return pack(iter_entries(self.encode()), min(size, MAX_BLOCK), self.flag)


def pack(entries: Iterable[bytes], size: int, flag: bytes) -> list[Block]:
    """Sorted entries in blocks of at most `size` bytes each."""
    blocks: list[Block] = []
    parts: list[list[bytes]] = []
    taken, last = 1, b""
    for entry in entries:
        group, line = split_entry(entry)
        more = len(line) + 1 if parts and group == last else len(group) + len(line) + 2
        if parts and taken + more > size:
            blocks.append(Block(flag, [_LINE.join(part) for part in parts]))
            parts, taken, more = [], 1, len(group) + len(line) + 2
        if parts and group == last:
            parts[-1].append(line)
        else:
            parts.append([group, line])
        taken, last = taken + more, group
    if parts:
        blocks.append(Block(flag, [_LINE.join(part) for part in parts]))
    return blocks
