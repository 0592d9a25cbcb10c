"""Reading chunks in runs: what is damaged takes nothing else along."""

import itertools
import os

from blake3 import blake3
from hypothesis import given, strategies as st

from cas import copying
from cas.copying import end_of, iter_pieces, iter_runs
from index.records import ChunkAt
from tests.cas.pushing import noise


def chunks_of(content: bytes, *places: tuple[int, int]):
    return [
        (start, ChunkAt(stop - start, blake3(content[start:stop]).digest(), 1))
        for start, stop in places
    ]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3 << 20)), max_size=20))
def test_runs_are_what_lies_side_by_side_and_none_is_long(steps):
    chunks, at = [], 0
    for gap, length in steps:
        chunks.append((at + gap, ChunkAt(length, b"", 1)))
        at += gap + length

    runs = list(iter_runs(chunks))

    assert [chunk for run in runs for chunk in run] == chunks
    for run in runs:
        assert all(end_of(a) == b[0] for a, b in itertools.pairwise(run))
        assert end_of(run[-1]) - run[0][0] <= copying.RUN or len(run) == 1


def test_a_damaged_chunk_comes_alone_and_its_neighbours_whole(tmp_path):
    content = noise(5000)
    places = (0, 1000), (1000, 3000), (3000, 4000), (4500, 5000)
    chunks = chunks_of(content, *places)
    path = tmp_path / "pack"
    path.write_bytes(content[:2000] + b"?" + content[2001:4700])  # and cut

    with path.open("rb") as file:
        pieces = list(iter_pieces(file.fileno(), chunks))

    assert [(piece.start, piece.stop) for piece in pieces] == list(places)
    assert [piece.data and bytes(piece.data) for piece in pieces] == [
        content[:1000],
        None,
        content[3000:4000],
        None,
    ]


def test_what_the_disk_cannot_read_is_damaged_and_nothing_else(tmp_path, monkeypatch):
    content = noise(3000)
    chunks = chunks_of(content, (0, 1000), (1000, 2000), (2000, 3000))
    path = tmp_path / "pack"
    path.write_bytes(content)
    original = os.pread

    def failing(descriptor, size, offset):
        if offset <= 1500 < offset + size:
            raise OSError(5, "Input/output error")
        return original(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", failing)
    with path.open("rb") as file:
        pieces = list(iter_pieces(file.fileno(), chunks))

    assert [piece.start for piece in pieces if piece.data is None] == [1000]


def test_without_a_file_all_is_damaged():
    pieces = list(iter_pieces(None, chunks_of(noise(20), (0, 10), (10, 20))))

    assert [(piece.start, piece.data) for piece in pieces] == [(0, None), (10, None)]
