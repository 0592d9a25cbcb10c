import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from blake3 import blake3
from hypothesis import given, strategies as st

from cas.errors import Damaged
from cas.verified import BUFFER, Ranges, Verified
from index.records import ChunkAt
from tests.cas.pages import drop
from tests.cas.pushing import noise

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
    verified = Verified(7, descriptor)

    verified.ensure(500, 2500, chunks)
    verified.ensure(0, 3000, chunks)

    assert looks == [(500, 2500)]


def test_a_flipped_byte_anywhere_in_a_chunk_is_damage_for_all_of_it(pack):
    descriptor, chunks, _ = pack
    os.pwrite(descriptor, b"!", 2999)

    with pytest.raises(Damaged, match="chunk at 1000 is not what was stored"):
        Verified(7, descriptor).ensure(1000, 1001, chunks)


def test_damage_elsewhere_hurts_nobody_else(pack):
    descriptor, chunks, _ = pack
    os.pwrite(descriptor, b"!", 5999)

    Verified(7, descriptor).ensure(0, 3000, chunks)


def test_a_damaged_chunk_stays_damaged_when_it_is_asked_for_again(pack):
    descriptor, chunks, _ = pack
    os.pwrite(descriptor, b"!", 0)
    verified = Verified(7, descriptor)

    for _ in range(2):
        with pytest.raises(Damaged):
            verified.ensure(0, 10, chunks)


def test_a_file_that_ends_within_a_chunk_is_damage(pack):
    descriptor, chunks, _ = pack
    os.ftruncate(descriptor, 5000)

    with pytest.raises(Damaged, match="ends at 5000"):
        Verified(7, descriptor).ensure(3000, 4000, chunks)


@given(st.lists(st.tuples(st.booleans(), SPANS), max_size=12))
def test_what_is_taken_out_of_a_set_is_out(steps):
    ranges, model = Ranges(), set()
    for is_added, (start, length) in steps:
        numbers = set(range(start, start + length))
        if is_added:
            ranges.add(start, start + length)
            model |= numbers
        else:
            ranges.remove(start, start + length)
            model -= numbers

    assert all(ranges.covers(number, number + 1) == (number in model) for number in range(75))


def test_nothing_is_ready_before_it_was_checked(pack):
    descriptor, chunks, _ = pack
    verified = Verified(7, descriptor)

    assert verified.ready_to(0, 10) == 0
    verified.ensure(1200, 1300, chunks)
    assert verified.ready_to(0, 6000) == 0
    assert verified.ready_to(1000, 6000) == 3000
    assert verified.ready_to(1100, 1300) == 1300


def test_what_the_kernel_dropped_is_checked_again(pack):
    descriptor, chunks, _ = pack
    verified = Verified(7, descriptor)
    verified.ensure(0, 6000, chunks)
    os.pwrite(descriptor, b"!", 1500)
    drop(descriptor)

    assert verified.ready_to(0, 6000) == 0
    with pytest.raises(Damaged, match="chunk at 1000"):
        verified.ensure(0, 6000, chunks)
    assert verified.ready_to(1000, 6000) == 1000  # never again without another check


def test_a_page_that_came_in_with_a_neighbour_is_not_taken_for_checked(pack):
    descriptor, chunks, _ = pack
    verified = Verified(7, descriptor)
    verified.ensure(0, 6000, chunks)
    drop(descriptor)

    verified.ensure(3000, 3001, chunks)  # the last chunk: its first page holds both others too

    assert verified.ready_to(3000, 6000) == 6000
    assert verified.ready_to(500, 6000) == 500


@pytest.fixture
def long_pack(tmp_path):
    """A file of many chunks, some longer than what is read at once, with a gap between two."""
    lengths = [300_000] * 9 + [2 * BUFFER + 12_345, 5, BUFFER]
    path, rows, offset = tmp_path / "pack", [], 0
    with path.open("wb") as file:
        for number, length in enumerate(lengths):
            if number == 4:
                file.write(bytes(10_000))  # dead bytes
                offset += 10_000
            content = noise(length, seed=number)
            file.write(content)
            rows.append((offset, ChunkAt(length, blake3(content).digest(), 1)))
            offset += length
    descriptor = os.open(path, os.O_RDWR)
    yield descriptor, rows, offset
    os.close(descriptor)


def test_chunks_are_checked_however_they_lie_to_what_is_read_at_once(long_pack):
    descriptor, rows, size = long_pack
    verified = Verified(7, descriptor)

    verified.ensure(0, size, lambda *_: rows)

    assert [verified.ready_to(at, at + row.length) for at, row in rows] == [
        at + row.length for at, row in rows
    ]
    dead = rows[3][0] + rows[3][1].length
    assert verified.ready_to(dead, dead + 1) == dead


@pytest.mark.parametrize("number", range(12))
def test_one_flipped_byte_is_found_wherever_it_is_and_what_comes_before_is_sound(long_pack, number):
    descriptor, rows, size = long_pack
    at, row = rows[number]
    last = at + row.length - 1
    os.pwrite(descriptor, bytes([os.pread(descriptor, 1, last)[0] ^ 1]), last)
    verified = Verified(7, descriptor)

    with pytest.raises(Damaged, match=f"chunk at {at} "):
        verified.ensure(0, size, lambda *_: rows)

    assert verified.ready_to(at, at + 1) == at
    if number:
        assert verified.ready_to(rows[number - 1][0], at) > rows[number - 1][0]


def test_who_comes_while_the_same_bytes_are_checked_waits_and_finds_it_done(pack):
    descriptor, chunks, looks = pack
    verified = Verified(7, descriptor)
    is_looking, go_on = Event(), Event()

    def slow_chunks(*asked):
        is_looking.set()
        go_on.wait(10)
        return chunks(*asked)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(verified.ensure, 0, 6000, slow_chunks)
        is_looking.wait(10)
        second = threads.submit(verified.ensure, 0, 6000, chunks)
        go_on.set()
        first.result(10)
        second.result(10)

    assert len(looks) == 1
