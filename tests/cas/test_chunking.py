import gzip

import pytest
from blake3 import blake3
from hypothesis import given, settings, strategies as st

from cas.uploads import chunking
from cas.uploads.chunking import (
    FOOTER_SIZE,
    MAX_CHUNK,
    MIN_CHUNK,
    OPAQUE_CHUNK,
    ChunkList,
    ContentCutter,
    FixedCutter,
    is_opaque,
    is_seekable,
    new_cutter,
)
from tests.cas.pushing import noise
from tests.cas.seekable import estargz_footer, zstd_chunked_footer

PARTS = st.tuples(st.sampled_from(["noise", "zeros", "period"]), st.integers(1, 300_000))
STOPS = st.lists(st.integers(0, 900_000), max_size=6)


def content_of(parts) -> bytes:
    makers = {
        "noise": noise,
        "zeros": bytes,
        "period": lambda size: (noise(1000) * (size // 1000 + 1))[:size],
    }
    return b"".join(makers[kind](size) for kind, size in parts)


def cut(cutter, content: bytes, stops=()) -> list[int]:
    """Feed `content` as it grows to each of `stops` and to its end."""
    lengths: list[int] = []
    for stop in [*sorted(min(stop, len(content) - 1) for stop in stops), len(content)]:
        data = memoryview(content)[sum(lengths) : stop]
        lengths += cutter.cut(data, is_last=stop == len(content))
    return lengths


@settings(max_examples=40)
@given(st.lists(PARTS, min_size=1, max_size=3), STOPS)
def test_content_is_cut_at_the_same_places_however_it_arrives(parts, stops):
    content = content_of(parts)

    whole = cut(ContentCutter(), content)

    assert sum(whole) == len(content)
    assert cut(ContentCutter(), content, stops) == whole


@settings(max_examples=40)
@given(st.integers(1, 600_000), STOPS)
def test_content_chunks_keep_their_bounds(size, stops):
    lengths = cut(ContentCutter(), noise(size), stops)

    assert all(MIN_CHUNK <= length <= MAX_CHUNK for length in lengths[:-1])
    assert lengths[-1] <= MAX_CHUNK


@given(st.integers(1, 2000), st.lists(st.integers(0, 2000), max_size=6))
def test_opaque_bytes_are_cut_every_so_many(size, stops):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunking, "OPAQUE_CHUNK", 100)

        lengths = cut(FixedCutter(), bytes(size), stops)

    assert lengths == [100] * (size // 100) + [size % 100] * (size % 100 > 0)


def test_an_opaque_chunk_is_four_mebibytes():
    content = memoryview(bytes(OPAQUE_CHUNK + 1))

    assert FixedCutter().cut(content, is_last=False) == [4 << 20]
    assert FixedCutter().cut(content, is_last=True) == [4 << 20, 1]


def test_an_edit_moves_only_the_cuts_near_it():
    content = noise(2 << 20)
    edited = content[:1_000_000] + b"inserted" + content[1_000_000:]

    names = [set(), set()]
    for found, data in zip(names, (content, edited), strict=True):
        chunks = ChunkList()
        chunks.add(memoryview(data), cut(ContentCutter(), data))
        found.update(chunks.names[i : i + 32].hex() for i in range(0, len(chunks.names), 32))

    assert len(names[0] - names[1]) <= 2


@pytest.mark.parametrize(
    ("head", "opaque"),
    [
        (gzip.compress(b"x"), True),
        (b"\x28\xb5\x2f\xfd", True),
        (b"\x1f\x8b", True),
        (b"\x1f", False),
        (b"", False),
        (b"PK\x03\x04", False),
        (b"\x28\xb5\x2f", False),
    ],
)
def test_the_magic_tells_what_is_compressed(head, opaque):
    assert is_opaque(head) is opaque
    assert isinstance(new_cutter(head), FixedCutter if opaque else ContentCutter)


def test_the_estargz_footer_in_these_tests_is_a_gzip_member():
    footer = estargz_footer(123_456)

    assert len(footer) == 51
    assert gzip.decompress(footer) == b""


@pytest.mark.parametrize("footer", [estargz_footer(99), zstd_chunked_footer(1000, 200)])
def test_a_footer_tells_what_restarts_per_file(footer):
    assert is_seekable((noise(1000) + footer)[-FOOTER_SIZE:])


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        gzip.compress(noise(1000)),
        b"STARGZ" + bytes(51),
        b"GNUlInUx\x00",
        zstd_chunked_footer(1, 1) + b"\x00",
    ],
)
def test_other_ends_are_opaque(tail):
    assert not is_seekable(tail[-FOOTER_SIZE:])


def test_a_chunk_list_names_what_it_covers():
    chunks = ChunkList()

    assert chunks.add(memoryview(b"abcdef"), [2, 3]) == 5
    assert chunks.add(memoryview(b"f"), [1]) == 1

    assert bytes(chunks.names) == b"".join(blake3(part).digest() for part in (b"ab", b"cde", b"f"))
    assert list(chunks.lengths) == [2, 3, 1]
    assert list(chunks.iter_offsets()) == [0, 2, 5]
    assert chunks.size == 6
