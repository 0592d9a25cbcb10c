import os

import pytest
from blake3 import blake3
from hypothesis import given, strategies as st

from cas.errors import Damaged
from cas.verified import Ranges, Verified
from index.records import ChunkAt

SPANS = st.tuples(st.integers(0, 60), st.integers(1, 12))


@given(st.lists(SPANS, max_size=12), SPANS)
def test_a_set_of_ranges_covers_what_was_added_and_nothing_else(added, asked):
    ranges, model = Ranges(), set()
    for start, length in added:
        ranges.add(start, start + length)
        model |= set(range(start, start + length))

    covered = ranges.covers(asked[0], sum(asked))

    assert covered == (set(range(asked[0], sum(asked))) <= model)
    runs = sum(1 for offset in model if offset - 1 not in model)
    assert len(ranges) == runs


@pytest.fixture
def pack(tmp_path):
    """A file of three chunks, and what the index would say of it."""
    contents = [bytes([number]) * (1000 * number) for number in (1, 2, 3)]
    path = tmp_path / "pack"
    path.write_bytes(b"".join(contents))
    rows, offset = [], 0
    for content in contents:
        rows.append((offset, ChunkAt(len(content), blake3(content).digest(), 1)))
        offset += len(content)
    descriptor = os.open(path, os.O_RDWR)
    looks = []

    def chunks(number, start, stop):
        looks.append((start, stop))
        return [(at, row) for at, row in rows if at < stop and at + row.length > start]

    yield descriptor, chunks, looks
    os.close(descriptor)


def test_sound_chunks_are_looked_up_once(pack):
    descriptor, chunks, looks = pack
    verified = Verified()

    verified.ensure(7, descriptor, (500, 2500), chunks)
    verified.ensure(7, descriptor, (0, 3000), chunks)

    assert looks == [(500, 2500)]


def test_a_flipped_byte_anywhere_in_a_chunk_is_damage_for_all_of_it(pack):
    descriptor, chunks, _ = pack
    os.pwrite(descriptor, b"!", 2999)

    with pytest.raises(Damaged, match="chunk at 1000 is not what was stored"):
        Verified().ensure(7, descriptor, (1000, 1001), chunks)


def test_damage_elsewhere_hurts_nobody_else(pack):
    descriptor, chunks, _ = pack
    os.pwrite(descriptor, b"!", 5999)

    Verified().ensure(7, descriptor, (0, 3000), chunks)


def test_a_damaged_chunk_stays_damaged_when_it_is_asked_for_again(pack):
    descriptor, chunks, _ = pack
    os.pwrite(descriptor, b"!", 0)
    verified = Verified()

    for _ in range(2):
        with pytest.raises(Damaged):
            verified.ensure(7, descriptor, (0, 10), chunks)


def test_a_file_that_ends_within_a_chunk_is_damage(pack):
    descriptor, chunks, _ = pack
    os.ftruncate(descriptor, 5000)

    with pytest.raises(Damaged, match="ends at 5000"):
        Verified().ensure(7, descriptor, (3000, 4000), chunks)
