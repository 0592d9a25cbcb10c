"""The pages of `data.mdb`, read as a file: LMDB itself ends the process where one is not sound.

    page   u64 own number · u16 0 · u16 flags · u16 lower · u16 upper · u16 offsets of nodes …
    node   u16 low · u16 high · u16 flags · u16 key size · key · data
    db     u32 pad · u16 flags · u16 depth · u64 branch, leaf, overflow pages, entries, root

Numbers are the machine's: little-endian on all that we run on. Two meta pages come first; the one
of the later transaction counts. Source: LMDB 0.9, mdb.c, MDB_page, MDB_node, MDB_db, MDB_meta.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from struct import Struct, error as StructError  # noqa: N812 - an exception
from typing import Final, NamedTuple

_LEAST: Final = 4096  # bytes of a page at least; how many they are is in the meta pages
_HEADER: Final = Struct("<QHHHH")
_META: Final = Struct("<IIQQ48s48sQQ")  # magic, version, address, map size, two dbs, last, txn
_DB: Final = Struct("<IHHQQQQQ")
_NODE: Final = Struct("<HHHH")
_MAGIC: Final = 0xBEEFC0DE
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_BIG, _SUB = 1, 2  # flags of a node: its data is in pages of its own, or a db
_SIZES: Final = frozenset(1 << power for power in range(9, 17))
_NONE: Final = (1 << 64) - 1


class PageDamaged(Exception):
    """Page `number` is not what its parent says; `what` tells how."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"page {number} {what}")


class _Tree(NamedTuple):
    pad: int  # of the first tree: bytes of a page
    depth: int
    root: int


class _File:
    """One open `data.mdb`."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = _LEAST
        try:
            self.size = self._meta(0)[0].pad
            self.free, self.main = self._newest()
        except BaseException:  # whatever it is: nobody else would close it
            self.close()
            raise

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)

    def _newest(self) -> tuple[_Tree, _Tree]:
        free, main, _ = max(self._meta(0), self._meta(1), key=itemgetter(2))
        return free, main

    def _meta(self, number: int) -> tuple[_Tree, _Tree, int]:
        """The tree of free pages, the tree of tables, and the transaction that wrote them."""
        magic, _, _, _, free, main, _, transaction = _META.unpack_from(self.read(number), 16)
        if magic != _MAGIC or _tree(free).pad not in _SIZES:
            raise PageDamaged(number, "is no meta page")
        return _tree(free), _tree(main), transaction

    def read(self, number: int, count: int = 1) -> bytes:
        """The bytes of `count` pages from `number` on."""
        if number >= 1 << 50:
            raise PageDamaged(number, "cannot be")
        data = os.pread(self._descriptor, count * self.size, number * self.size)
        if len(data) < count * self.size:
            raise PageDamaged(number, "is beyond the file's end")
        return data

    def iter_nodes(self, tree: _Tree) -> Iterator[tuple[int, bytes]]:
        """(flags, data) of every node of a tree's leaves; each page is checked on the way."""
        waiting = [] if tree.root == _NONE else [(tree.root, 1)]
        while waiting:
            number, level = waiting.pop()
            page = self.read(number)
            nodes = _nodes(number, page, _LEAF if level == tree.depth else _BRANCH)
            if level < tree.depth:
                waiting += [(_child(page, node), level + 1) for node in nodes]
                continue
            for node in nodes:
                yield self._leaf(number, page, node)

    def _leaf(self, number: int, page: bytes, at: int) -> tuple[int, bytes]:
        low, high, flags, size = _NODE.unpack_from(page, at)
        begin, length = at + _NODE.size + size, low | high << 16
        if flags & _BIG:
            (first,) = _U64.unpack_from(page, begin)
            return flags, self._overflow(first, length)
        if begin + length > len(page):
            raise PageDamaged(number, "has a value beyond its end")
        return flags, page[begin : begin + length]

    def _overflow(self, number: int, length: int) -> bytes:
        data = self.read(number, (16 + length + self.size - 1) // self.size)
        own, _, flags, _, _ = _HEADER.unpack_from(data)
        if own != number or not flags & _OVERFLOW:
            raise PageDamaged(number, "holds no value")
        return data[16 : 16 + length]


_U64: Final = Struct("<Q")


def _tree(data: bytes) -> _Tree:
    pad, _, depth, _, _, _, _, root = _DB.unpack(data)
    return _Tree(pad, depth, root)


def _nodes(number: int, page: bytes, kind: int) -> tuple[int, ...]:
    own, _, flags, lower, upper = _HEADER.unpack_from(page)
    if own != number or not flags & kind:
        raise PageDamaged(number, "is none, or another")
    count = (lower - 16) // 2
    if not 16 < lower <= upper <= len(page):
        raise PageDamaged(number, "has no rows")
    nodes: tuple[int, ...] = Struct(f"<{count}H").unpack_from(page, 16)
    if min(nodes) < upper or max(nodes) > len(page) - _NODE.size:
        raise PageDamaged(number, "has rows beyond its end")
    return nodes


def _child(page: bytes, at: int) -> int:
    low, high, highest, _ = _NODE.unpack_from(page, at)
    number: int = low | high << 16 | highest << 32
    return number


def free_pages(path: Path) -> set[int]:
    """Pages that nothing needs: the next commits may take them.

    Raises:
        PageDamaged: the list of them cannot be read.
    """
    found: set[int] = set()
    with closing(_File(path)) as file:
        for _, data in _sound(file, file.free):
            count = len(data) // 8
            found.update(Struct(f"<{count}Q").unpack(data)[1:])  # the first is their number
    return found


def check_pages(path: Path) -> None:
    """Look at every page that something needs; nobody may write meanwhile.

    Raises:
        PageDamaged: one is not what its parent says.
        OSError: the file cannot be read.
    """
    with closing(_File(path)) as file:
        for _ in _sound(file, file.free):
            pass
        tables = [data for flags, data in _sound(file, file.main) if flags & _SUB]
        for table in tables:
            for _ in _sound(file, _tree(table)):
                pass


def _sound(file: _File, tree: _Tree) -> Iterator[tuple[int, bytes]]:
    try:
        yield from file.iter_nodes(tree)
    except StructError as error:
        raise PageDamaged(tree.root, f"or one below has other bytes: {error}") from error
