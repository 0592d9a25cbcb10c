import os
import tempfile

import pytest
import trio
from blake3 import blake3
from hypothesis import given, settings, strategies as st

from cas.digest import Digest
from cas.uploads.chunking import OPAQUE_CHUNK
from cas.uploads.ingest import SEGMENT, Desk, Ingest, hash_file
from tests.cas.pushing import GZIP, noise
from tests.cas.seekable import estargz_footer, zstd_chunked_footer

ZSTD = b"\x28\xb5\x2f\xfd"


async def take_in(content: bytes, stops: list[int], algorithm: str = "sha256") -> Ingest:
    """Ingest a file that holds `content`, told of its growth up to each of `stops`."""
    ingest = Ingest(algorithm)
    desk = Desk(trio.CapacityLimiter(2))
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        for stop in stops:
            await ingest.advance(file.fileno(), stop, desk)
        await ingest.finish(file.fileno(), len(content), desk)
    return ingest


def lengths(ingest: Ingest) -> list[int]:
    return list(ingest.chunks.lengths)


CONTENTS = st.sampled_from([b"", GZIP, ZSTD]).flatmap(
    lambda head: st.integers(0, 500_000).map(lambda size: head + noise(size))
)


@settings(max_examples=30)
@given(CONTENTS, st.lists(st.integers(0, 500_000), max_size=4))
async def test_growth_in_steps_gives_what_the_whole_gives(content, steps):
    stops = sorted(min(step, len(content)) for step in steps)

    whole, stepwise = await take_in(content, []), await take_in(content, stops)

    assert stepwise.digest() == whole.digest() == Digest.of(content)
    assert stepwise.chunks.names == whole.chunks.names
    assert stepwise.chunks.size == len(content)


@pytest.mark.parametrize("first", [1, 2, 3])
async def test_the_magic_is_known_however_few_bytes_come_first(first):
    content = ZSTD + noise(300_000)

    ingest = await take_in(content, [first, first + 1])

    assert lengths(ingest) == [len(content)]


async def test_opaque_bytes_become_chunks_of_four_mebibytes():
    content = GZIP + noise(2 * OPAQUE_CHUNK)

    ingest = await take_in(content, [1 << 20, 5 << 20])

    assert lengths(ingest) == [OPAQUE_CHUNK, OPAQUE_CHUNK, 4]
    assert ingest.digest() == Digest.of(content)


@pytest.mark.parametrize(
    ("head", "footer"),
    [(GZIP, estargz_footer(500_000)), (ZSTD, zstd_chunked_footer(400_000, 5000))],
)
async def test_a_seekable_layer_is_cut_by_content(head, footer):
    body = noise(1_000_000)
    plain = await take_in(body, [])

    ingest = await take_in(head + body + footer, [700_000])

    names = {bytes(plain.chunks.names[i : i + 32]) for i in range(0, len(plain.chunks.names), 32)}
    found = bytes(ingest.chunks.names)
    shared = sum(found[i : i + 32] in names for i in range(0, len(found), 32))
    assert shared >= len(names) - 3
    assert ingest.chunks.size == len(head + body + footer)
    assert ingest.digest() == Digest.of(head + body + footer)


async def test_sha512_is_hashed_when_asked():
    content = noise(100_000)

    assert (await take_in(content, [5], "sha512")).digest() == Digest.of(content, "sha512")


async def test_a_file_that_lost_bytes_is_an_error():
    ingest = Ingest("sha256")
    with tempfile.TemporaryFile() as file:
        file.write(b"short")
        file.flush()

        with pytest.raises(OSError, match="ends at 5"):
            await ingest.finish(file.fileno(), 10, Desk(trio.CapacityLimiter(2)))


@pytest.mark.parametrize("size", [0, 1, (4 << 20) + 1])
def test_a_file_can_be_hashed_with_another_algorithm(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(noise(size))
    descriptor = os.open(path, os.O_RDONLY)

    try:
        assert hash_file(descriptor, size, "sha512") == Digest.of(noise(size), "sha512")
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("head", [GZIP, b""])
@pytest.mark.parametrize(
    "stops", [[], [1], [SEGMENT], [SEGMENT + 1, 2 * SEGMENT], [3 * SEGMENT - 1]]
)
async def test_many_segments_are_taken_in_as_one(head, stops):
    content = head + noise(3 * SEGMENT + 77)

    ingest = await take_in(content, stops)

    assert ingest.digest() == Digest.of(content)
    names, offset = [], 0
    for length in ingest.chunks.lengths:
        names.append(blake3(content[offset : offset + length]).digest())
        offset += length
    assert bytes(ingest.chunks.names) == b"".join(names)
    assert offset == len(content)


async def test_a_segment_that_cannot_be_read_loses_nothing_of_those_before_it():
    content = GZIP + noise(3 * SEGMENT)
    ingest, desk = Ingest("sha256"), Desk(trio.CapacityLimiter(3))
    with tempfile.TemporaryFile() as file:
        file.write(content[: 2 * SEGMENT])
        file.flush()
        with pytest.raises(OSError, match="the upload ends at"):
            await ingest.advance(file.fileno(), len(content), desk)
        file.seek(0, os.SEEK_END)
        file.write(content[2 * SEGMENT :])
        file.flush()
        await ingest.finish(file.fileno(), len(content), desk)

    assert ingest.digest() == Digest.of(content)
    assert ingest.chunks.size == len(content)


class Limited:
    """A desk that has no thread for one of the two."""

    def __init__(self, fault) -> None:
        self._desk = Desk(trio.CapacityLimiter(2))
        self.pages = self._desk.pages
        self._fault = fault

    async def hop(self, run, *args) -> None:
        if run.__name__ == self._fault:
            raise RuntimeError("can't start new thread")
        await self._desk.hop(run, *args)


@pytest.mark.parametrize("fault", ["_read_cut", "take_all"])
async def test_a_thread_that_does_not_begin_keeps_nobody_waiting(fault):
    content = noise(3 * SEGMENT)
    ingest = Ingest("sha256")
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        with trio.fail_after(10), pytest.raises(RuntimeError, match="new thread"):
            await ingest.advance(file.fileno(), len(content), Limited(fault))


async def test_a_cancelled_turn_is_ended_and_what_it_did_counts():
    content = noise(3 * SEGMENT)
    ingest, desk = Ingest("sha256"), Desk(trio.CapacityLimiter(2))
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        with trio.fail_after(10), trio.CancelScope() as scope:
            scope.cancel()
            await ingest.advance(file.fileno(), len(content), desk)
        assert scope.cancelled_caught
        await ingest.finish(file.fileno(), len(content), desk)

    assert ingest.digest() == Digest.of(content)
