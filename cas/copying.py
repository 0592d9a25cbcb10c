"""Chunks of pack files, read in runs and checked against their BLAKE3 names on the way."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from blake3 import blake3

from index.records import ChunkAt

RUN: Final = 4 << 20  # bytes read at once, as long as one chunk is not longer

Chunk = tuple[int, ChunkAt]  # offset in its pack, row
Announce = Callable[[int, int], object]  # told of (start, stop) before it is read in: `cas.fence`


class Piece(NamedTuple):
    """Chunks that lie side by side, and their bytes; None: it is one chunk, and damaged."""

    chunks: Sequence[Chunk]
    data: memoryview | None

    @property
    def start(self) -> int:
        """Offset in the pack."""
        return self.chunks[0][0]

    @property
    def stop(self) -> int:
        """Offset of its end."""
        return end_of(self.chunks[-1])


def end_of(chunk: Chunk) -> int:
    """Offset of a chunk's end."""
    offset, row = chunk
    return offset + row.length


def iter_pieces(
    descriptor: int | None, chunks: Iterable[Chunk], announce: Announce = lambda *_: None
) -> Iterator[Piece]:
    """Read and check chunks, which are sorted; without a file they are all damaged.

    What the disk cannot read is damaged, as is what the file does not have. Memory: 2 runs.
    """
    for run in iter_runs(chunks):
        announce(run[0][0], end_of(run[-1]))
        yield from _check(descriptor, run)


def iter_runs(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """Group chunks that lie side by side, RUN bytes at most."""
    run: list[Chunk] = []
    for chunk in chunks:
        if run and (end_of(run[-1]) != chunk[0] or end_of(chunk) - run[0][0] > RUN):
            yield run
            run = []
        run.append(chunk)
    if run:
        yield run


def _check(descriptor: int | None, run: list[Chunk]) -> Iterator[Piece]:
    data = memoryview(_read(descriptor, run[0][0], end_of(run[-1])))
    if all(_is_sound(data, run[0][0], chunk) for chunk in run):
        yield Piece(run, data)
    elif len(run) == 1:
        yield Piece(run, None)
    else:
        for chunk in run:  # each for itself: one bad sector must not take its neighbours along
            yield from _check(descriptor, [chunk])


def _is_sound(data: memoryview, start: int, chunk: Chunk) -> bool:
    offset, row = chunk
    content = data[offset - start : offset - start + row.length]
    return len(content) == row.length and blake3(content).digest() == row.name


def _read(descriptor: int | None, start: int, stop: int) -> bytes:
    """Bytes from `start` to `stop`, or as far as they can be read."""
    if descriptor is None:
        return b""
    data = b""
    try:
        while len(data) < stop - start:
            more = os.pread(descriptor, stop - start - len(data), start + len(data))
            if not more:
                break
            data = data + more if data else more
    except OSError:
        return b""  # EIO: what was read of it helps only if it is read again, piece by piece
    return data
