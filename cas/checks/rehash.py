"""Chunk rows that are wrong or lost, made again from the bytes in the packs.

A row that is there is kept when its bytes have its name. When they have not, it goes only if an
object that lies over it proves them right: else they may be damaged, and without the row nobody
would see that. A lost one is made when an object that lies over it, read whole, still has its
digest: then the bytes are right.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import chain, islice, pairwise, takewhile
from operator import attrgetter
from typing import Final, NamedTuple

from blake3 import blake3

from cas.checks.drift import Drift, Run, drop
from cas.checks.layouts import BytesLost, has_digest, iter_pack
from cas.digest import Digest
from index import keys
from index.records import ChunkAt, Extent, Object, Place
from index.transaction import Transaction

LONGEST: Final = 4 << 20  # bytes of a chunk


class Hole(NamedTuple):
    """A range of a pack where chunk rows are missing, overlap, or are cut by an extent."""

    pack: int
    start: int
    stop: int


_STOP: Final = attrgetter("stop")


def remade(run: Run, holes: list[Hole]) -> Iterator[Drift]:
    """Look at each hole: rows that are wrong go or are set right, then lost ones are made."""
    over = _objects_over(run, holes)
    told = set()
    for hole in holes:
        objects = over[hole]
        names = ", ".join(sorted(str(Digest(each)) for each in objects.values())) or "no object"
        pack = f"extent in pack {hole.pack:016x}"
        sentence = f"{pack}: its chunks end at {hole.start}, not {hole.stop}, of {names}"
        wrong = list(_wrong(run, hole))
        if wrong:
            for each in wrong:
                if each.sentence not in told:  # holes overlap where rows do
                    told.add(each.sentence)
                    yield Drift(f"{sentence}; {each.sentence}", each.mend)
            continue
        made: list[Drift] = []
        if any(has_digest(run, number, digest) for number, digest in objects.items()):
            made = list(_made(run, hole, sentence))
        yield from made
        if not made:
            hurt = ", ".join(run.hurt(digest) for digest in objects.values())
            yield Drift(f"{sentence}; these bytes are lost: push it again, it hurts {hurt}")


def _objects_over(run: Run, holes: list[Hole]) -> dict[Hole, dict[int, bytes]]:
    """Hole → the objects (id → digest) that lie over it; one pass, however many holes there are."""
    by_pack: dict[int, list[Hole]] = {}
    for hole in sorted(holes, key=_STOP):
        by_pack.setdefault(hole.pack, []).append(hole)
    over = [
        (hole, keys.number(key[:8]))
        for key, value in run.view.scan("extent")
        for hole in _touched(by_pack, Extent.decode(value))
    ]
    wanted = {number for _, number in over}
    digests = {
        number: digest
        for digest, value in run.view.scan("object")
        if (number := Object.decode(value).id) in wanted
    }
    found: dict[Hole, dict[int, bytes]] = {hole: {} for hole in holes}
    for hole, number in over:
        if number in digests:
            found[hole][number] = digests[number]
    return found


def _touched(by_pack: dict[int, list[Hole]], extent: Extent) -> Iterator[Hole]:
    holes = by_pack.get(extent.pack, [])
    first = bisect_right(holes, extent.offset, key=_STOP)  # the first that ends beyond it
    stop = extent.offset + extent.length
    return takewhile(lambda hole: hole.start < stop, islice(holes, first, None))


# --- rows that are there ---


def _wrong(run: Run, hole: Hole) -> Iterator[Drift]:
    """Rows in or before the hole whose bytes have another name than theirs."""
    start = max(0, hole.start - 1)  # the row before may have been cut short
    for offset, row in run.view.iter_chunks_over(hole.pack, start, hole.stop + 1):
        if _hash(run, Extent(hole.pack, offset, row.length)) == row.name:
            continue
        key = keys.place(hole.pack, offset)
        length = _length(run, hole.pack, offset, row)
        if length is not None:
            yield _shaped(key, row._replace(length=length))
        elif _is_disproved(run, Hole(hole.pack, offset, offset + row.length)):
            yield Drift(f"chunk {key.hex()}: has other bytes", drop(("chunk_at", key)))


def _is_disproved(run: Run, place: Hole) -> bool:
    """Whether a row has another name than bytes that are right, or that are nobody's."""
    objects = _objects_over(run, [place])[place]
    return not objects or any(has_digest(run, *each) for each in objects.items())


def _shaped(key: bytes, row: ChunkAt) -> Drift:
    def mend(transaction: Transaction) -> None:
        transaction.put("chunk_at", key, row.encode())

    return Drift(f"chunk {key.hex()}: has {row.length} bytes", mend)


def _length(run: Run, pack: int, offset: int, row: ChunkAt) -> int | None:
    """The length with which the bytes have the row's name: to the next row, or the next cut."""
    following = next((at for at, _ in run.view.iter_chunks(pack, offset + 1)), offset)
    starts, stops = run.spans[pack]
    cut = min((each for each in chain(starts, stops) if each > offset), default=offset)
    for stop in sorted({following, cut} - {offset}):
        extent = Extent(pack, offset, stop - offset)
        if extent.length <= LONGEST and _hash(run, extent) == row.name:
            return extent.length
    return None


# --- rows that are lost ---


def _made(run: Run, hole: Hole, sentence: str) -> Iterator[Drift]:
    """New rows: from cut to cut, as long as a chunk may be, beside the rows that are there."""
    rows = run.view.iter_chunks_over(hole.pack, hole.start, hole.stop)
    taken = [(offset, offset + row.length) for offset, row in rows]
    starts, stops = run.spans[hole.pack]
    edges = {hole.start, hole.stop, *chain.from_iterable(taken), *starts, *stops}
    at = sorted(each for each in edges if hole.start <= each <= hole.stop)
    for start, stop in pairwise(at):
        if any(first < stop and last > start for first, last in taken):
            continue
        references = sum(each < stop for each in starts) - sum(each <= start for each in stops)
        for offset in range(start, stop if references else start, LONGEST):
            extent = Extent(hole.pack, offset, min(LONGEST, stop - offset))
            name = _hash(run, extent)
            if name is not None:
                yield _new_row(extent, ChunkAt(extent.length, name, references), sentence)


def _new_row(extent: Extent, row: ChunkAt, sentence: str) -> Drift:
    place = Place(extent.pack, extent.offset)

    def mend(transaction: Transaction) -> None:
        transaction.put("chunk_at", place.encode(), row.encode())
        if transaction.chunk(row.name) is None:
            transaction.put("chunk", row.name, place.encode())

    return Drift(f"{sentence}; chunk {place.encode().hex()} is made again", mend)


def _hash(run: Run, extent: Extent) -> bytes | None:
    """BLAKE3 of a run of bytes; None when they are lost."""
    hashing = blake3()
    try:
        for piece in iter_pack(run, extent):
            hashing.update(piece)
    except BytesLost:
        return None
    return hashing.digest()


# --- names ---


def names(run: Run) -> Iterator[Drift]:
    """A chunk's name leads to a chunk of that name; if not, its bytes tell which row is right."""
    for name, value in run.view.scan("chunk"):
        pack, offset = keys.split_place(value)
        row = run.view.chunk_at(pack, offset)
        if row is not None and row.name == name:
            continue
        sentence = f"chunk {name.hex()}: is not where its row says"
        if row is not None and _hash(run, Extent(pack, offset, row.length)) == name:
            yield _renamed(value, row._replace(name=name), sentence)
        else:
            yield Drift(sentence, drop(("chunk", name)))


def _renamed(key: bytes, row: ChunkAt, sentence: str) -> Drift:
    def mend(transaction: Transaction) -> None:
        transaction.put("chunk_at", key, row.encode())

    return Drift(f"{sentence}: the chunk there lost its name", mend)
