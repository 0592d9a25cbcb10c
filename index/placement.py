"""Lay an object's chunks out in transactions of at most ROWS rows, and take such a layout back.

A slice writes, for a run of chunks in logical order: the rows of the new ones, one more reference
for the known ones, and the extent that covers them, growing. So after every commit the references
equal what the extents cover, and undoing an unfinished build is the same walk as dismantling an
object: from its last extent backwards, chunk by chunk. Nothing is visible before the object row.
"""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from index import keys
from index.damage import clear_chunk, clear_hurt
from index.records import (
    ChunkAt,
    Extent,
    GarbageKind,
    Object,
    Pack,
    PackState,
    Place,
    Work,
    WorkKind,
)
from index.transaction import Transaction
from index.view import View

ROWS: Final = 512  # rows of one transaction (measured: worst 7 ms when sorted by key)
_ROWS_AT_END: Final = 4  # work row, pack row and mark of a build that was given up, an extent
_ROWS_PER_CHUNK: Final = 4  # at most: chunk, chunk_at, extent, pack
_LIVE: Final = (PackState.ACTIVE, PackState.SEALED)
NAME_SIZE: Final = 32  # BLAKE3


class ChunkMissing(Exception):
    """Chunk `index` is neither live nor among the bytes brought along: look and append again."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


@dataclass(frozen=True, slots=True)
class Layout:
    """An object's chunks, and where the new ones lie.

    `names` are 32 bytes each, `lengths` u32. With `offsets` None the whole object lies in `pack`
    at its logical offsets (an adopted upload); otherwise chunk i lies at offsets[i], or nowhere
    when that is negative. `pack_length` is what the pack file holds, synced. With every chunk known
    there is no pack: 0.
    """

    object: int
    pack: int
    names: bytes
    lengths: "array[int]"
    offsets: "array[int] | None"
    pack_length: int

    def __len__(self) -> int:
        return len(self.lengths)

    def name(self, index: int) -> bytes:
        """BLAKE3 of chunk `index`."""
        return self.names[index * NAME_SIZE : (index + 1) * NAME_SIZE]

    def own_place(self, index: int, logical: int) -> Place | None:
        """Where the bytes brought along have chunk `index`."""
        if self.offsets is None:
            return Place(self.pack, logical)
        return None if self.offsets[index] < 0 else Place(self.pack, self.offsets[index])


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a layout has been written: the next chunk and its logical offset."""

    index: int = 0
    logical: int = 0


def is_live(view: View, pack: int) -> bool:
    """Whether chunks of `pack` may be shared."""
    row = view.pack(pack)
    return row is not None and row.state in _LIVE


def place_slice(transaction: Transaction, layout: Layout, cursor: Cursor) -> Cursor:
    """Write the next slice of `layout` from `cursor`; returns how far it came.

    Raises:
        ChunkMissing: see there; the caller's transaction must be given up.
    """
    part = _Slice(transaction, layout)
    index, logical = cursor.index, cursor.logical
    while index < len(layout) and part.rows + _ROWS_PER_CHUNK <= ROWS:
        part.add(index, logical)
        logical += layout.lengths[index]
        index += 1
    part.write()
    return Cursor(index, logical)


@dataclass(slots=True)
class _Slice:
    """The rows of one slice, gathered so that they are written sorted by key."""

    transaction: Transaction
    layout: Layout
    chunks: dict[bytes, Place] = field(default_factory=dict)
    chunks_at: dict[Place, ChunkAt] = field(default_factory=dict)
    extents: dict[int, Extent] = field(default_factory=dict)
    live: Counter[int] = field(default_factory=Counter)
    states: dict[int, bool] = field(default_factory=dict)
    tail: tuple[int, Extent] | None = None

    def __post_init__(self) -> None:
        prefix = keys.u64(self.layout.object)
        last = self.transaction.last_before("extent", prefix, prefix + b"\xff" * 8)
        if last is not None:
            self.tail = keys.split_place(last[0])[1], Extent.decode(last[1])
        if self.layout.pack:
            self.live[self.layout.pack] = 0  # its row exists from the first slice on

    @property
    def rows(self) -> int:
        return len(self.chunks) + len(self.chunks_at) + len(self.extents) + len(self.live)

    def add(self, index: int, logical: int) -> None:
        name, length = self.layout.name(index), self.layout.lengths[index]
        place = self._known(name)
        if place is None:
            place = self.layout.own_place(index, logical)
            if place is None:
                raise ChunkMissing(index)
            self.chunks[name] = place
        row = self.chunks_at.get(place) or self.transaction.chunk_at(*place)
        row = row or ChunkAt(length, name, 0)
        if row.references == 0:
            self.live[place.pack] += length
        self.chunks_at[place] = row._replace(references=row.references + 1)
        self._cover(logical, place, length)

    def _known(self, name: bytes) -> Place | None:
        place = self.chunks.get(name) or self.transaction.chunk(name)
        if place is None or place.pack == self.layout.pack:
            return place
        if place.pack not in self.states:
            self.states[place.pack] = is_live(self.transaction, place.pack)
        return place if self.states[place.pack] else None

    def _cover(self, logical: int, place: Place, length: int) -> None:
        if self.tail is not None:
            start, extent = self.tail
            end = Place(extent.pack, extent.offset + extent.length)
            if place == end and logical == start + extent.length:
                self.tail = start, extent._replace(length=extent.length + length)
                self.extents[start] = self.tail[1]
                return
        self.tail = logical, Extent(place.pack, place.offset, length)
        self.extents[logical] = self.tail[1]

    def write(self) -> None:
        """Write everything, table by table, sorted by key."""
        put = self.transaction.put
        for name in sorted(self.chunks):
            put("chunk", name, self.chunks[name].encode())
        for place in sorted(self.chunks_at):
            put("chunk_at", place.encode(), self.chunks_at[place].encode())
        for logical in sorted(self.extents):
            key = keys.place(self.layout.object, logical)
            put("extent", key, self.extents[logical].encode())
        for pack in sorted(self.live):
            self._write_pack(pack)

    def _write_pack(self, pack: int) -> None:
        row = self.transaction.pack(pack) or Pack(PackState.INCOMING, 0, 0)
        length = row.length
        if pack == self.layout.pack:
            length = max(length, self.layout.pack_length)
        row = row._replace(length=length, live=row.live + self.live[pack])
        self.transaction.put("pack", keys.u64(pack), row.encode())


# --- builds and packs ----------------------------------------------------------------------


def begin_build(transaction: Transaction, object_id: int, work: Work) -> None:
    """Note that the object is being built in several transactions, so that a crash undoes it."""
    transaction.put("work", keys.u64(object_id), work.encode())


def end_build(transaction: Transaction, layout: Layout) -> None:
    """The last slice is in: an adopted pack becomes readable, the work is over."""
    transaction.delete("work", keys.u64(layout.object))
    row = transaction.pack(layout.pack)
    if row is not None and row.state is PackState.INCOMING:
        sealed = row._replace(state=PackState.SEALED)
        transaction.put("pack", keys.u64(layout.pack), sealed.encode())
        if row.live < row.length:
            mark_pack(transaction, layout.pack)


def give_up_build(transaction: Transaction, object_id: int) -> None:
    """Turn the work around: what was built is to be dismantled."""
    value = transaction.get("work", keys.u64(object_id))
    if value is not None:
        work = Work.decode(value)
        turned = Work(
            kind=WorkKind.DISMANTLE,
            upload=work.upload,
            digest=work.digest,
            object=work.object,
            pack=work.pack,
        )
        transaction.put("work", keys.u64(object_id), turned.encode())


def activate_pack(transaction: Transaction, pack: int, following: int) -> None:
    """Let appends go to `pack` (an empty file); the one before is sealed; `following` is next."""
    active = transaction.get("meta", keys.META_ACTIVE)
    if active is not None:
        row = Pack.decode(transaction.get("pack", active) or Pack(PackState.ACTIVE, 0, 0).encode())
        sealed = row._replace(state=PackState.SEALED)
        transaction.put("pack", active, sealed.encode())
        mark_pack(transaction, keys.number(active))  # bytes of commits that failed are in no row
    transaction.put("pack", keys.u64(pack), Pack(PackState.ACTIVE, 0, 0).encode())
    transaction.put("meta", keys.META_ACTIVE, keys.u64(pack))
    transaction.put("meta", keys.META_NEXT, keys.u64(following))


# --- taking back ---------------------------------------------------------------------------


def let_go(transaction: Transaction, digest: bytes, row: Object) -> bool:
    """Drop the bytes of an object whose row has gone, or tells of others now.

    True: they are chunks, and a work row says that they are to be dismantled.
    """
    clear_hurt(transaction, row.id)
    number = keys.u64(row.id)
    if transaction.delete("inline", number):
        return False
    work = Work(kind=WorkKind.DISMANTLE, digest=digest, object=row.id)
    transaction.put("work", number, work.encode())
    return True


class Dismantled(NamedTuple):
    """What a slice of taking back did."""

    is_over: bool  # nothing is left of the object
    chunks: int  # that nothing covers any more


def dismantle_slice(transaction: Transaction, object_id: int, rows: int = ROWS) -> Dismantled:
    """Take back at most `rows` rows of an object's layout, last bytes first.

    When it is, the object's work row goes with it, and so does its pack's row if that was still
    incoming. The caller has deleted the object row before the first slice, or it never was.
    """
    part = _Dismantling(transaction, rows)
    prefix = keys.u64(object_id)
    while part.has_room:
        last = transaction.last_before("extent", prefix, prefix + b"\xff" * 8)
        if last is None:
            part.settle()
            _end_work(transaction, object_id)
            return Dismantled(True, part.dropped)
        part.shrink(last[0], Extent.decode(last[1]))
    part.settle()
    return Dismantled(False, part.dropped)


@dataclass(slots=True)
class _Dismantling:
    """One slice of taking back."""

    transaction: Transaction
    limit: int
    rows: int = 0
    dropped: int = 0  # chunks
    live: Counter[int] = field(default_factory=Counter)
    has_damage: bool = field(init=False)  # anywhere: almost never

    def __post_init__(self) -> None:
        self.has_damage = self.transaction.entries("damage") > 0

    @property
    def has_room(self) -> bool:
        """Whether the rows of one more chunk fit, with two for each pack that loses bytes."""
        return self.rows + 2 * len(self.live) + _ROWS_PER_CHUNK + _ROWS_AT_END <= self.limit

    def shrink(self, key: bytes, extent: Extent) -> None:
        """Drop chunks from the extent's end until it or the slice is used up.

        Where chunk rows are missing (a damaged index) the rest of the extent is dropped as it is:
        recovery must come to an end, and `fsck` names what it left.
        """
        remaining = extent.length
        while remaining > 0 and self.has_room:
            end = extent.offset + remaining
            found = next(self.transaction.iter_chunks_back(extent.pack, end), None)
            if found is None or found[0] < extent.offset or sum((found[0], found[1].length)) != end:
                remaining = 0
                break
            self._drop(Place(extent.pack, found[0]), found[1])
            remaining -= found[1].length
        self.rows += 1
        if remaining > 0:
            self.transaction.put("extent", key, extent._replace(length=remaining).encode())
        else:
            self.transaction.delete("extent", key)

    def _drop(self, place: Place, row: ChunkAt) -> None:
        self.rows += 1
        if row.references > 1:
            fewer = row._replace(references=row.references - 1)
            self.transaction.put("chunk_at", place.encode(), fewer.encode())
            return
        self.live[place.pack] -= row.length
        self.dropped += 1
        self.transaction.delete("chunk_at", place.encode())
        if self.has_damage and clear_chunk(self.transaction, place):  # no row brings it back
            self.rows += 1
        if self.transaction.chunk(row.name) == place:
            self.rows += 1
            self.transaction.delete("chunk", row.name)

    def settle(self) -> None:
        """Count the packs' live bytes down; those that lost some are marked."""
        for pack, change in self.live.items():
            row = self.transaction.pack(pack)
            if row is not None:
                fewer = row._replace(live=row.live + change)
                self.transaction.put("pack", keys.u64(pack), fewer.encode())
                mark_pack(self.transaction, pack)


def mark_pack(transaction: Transaction, pack: int) -> None:
    """Note that the pack has, or may have, bytes that nothing covers."""
    transaction.put("garbage", _mark(pack))


def unmark_pack(transaction: Transaction, pack: int, live: int | None) -> bool:
    """Take the mark away, unless the pack has lost bytes since it had `live` of them."""
    row = transaction.pack(pack)
    if row is not None and row.live != live:
        return False
    return transaction.delete("garbage", _mark(pack))


def retire_pack(transaction: Transaction, pack: int) -> bool:
    """Let a pack without live bytes be dead, so that its file may go; False: it has some."""
    row = transaction.pack(pack)
    if row is None or row.state not in (PackState.SEALED, PackState.DEAD) or row.live:
        return False
    dead = row._replace(state=PackState.DEAD)
    transaction.put("pack", keys.u64(pack), dead.encode())
    return True


def forget_pack(transaction: Transaction, pack: int) -> None:
    """Drop a dead pack's row: its file has gone."""
    transaction.delete("pack", keys.u64(pack))
    transaction.delete("garbage", _mark(pack))


def _mark(pack: int) -> bytes:
    return keys.garbage(0, GarbageKind.PACK, keys.u64(pack))


def _end_work(transaction: Transaction, object_id: int) -> None:
    key = keys.u64(object_id)
    value = transaction.get("work", key)
    if value is None:
        return
    pack = Work.decode(value).pack
    row = transaction.pack(pack)
    if row is not None and row.state is PackState.INCOMING:
        forget_pack(transaction, pack)
    transaction.delete("work", key)
