"""`index.records`: fixed structs for hot rows, MessagePack maps for rows with text."""

import msgspec
import pytest
from hypothesis import given, strategies as st

from index.records import (
    ChunkAt,
    Extent,
    Image,
    Link,
    Manifest,
    Object,
    Pack,
    PackState,
    Place,
    Repository,
    Storage,
    Tag,
    Usage,
    Work,
    WorkKind,
)

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
TEXT = st.text(max_size=20)

ROWS = [
    (st.builds(Link, U64, U64, U32, U64), 28),
    (st.builds(Object, U64, U64, U32, U64), 28),
    (st.builds(Extent, U64, U64, U64), 24),
    (st.builds(Place, U64, U64), 16),
    (st.builds(ChunkAt, U32, st.binary(min_size=32, max_size=32), U32), 40),
    (st.builds(Pack, st.sampled_from(PackState), U64, U64), 17),
    (st.builds(Usage, U64, U64, U64), 24),
    (st.builds(Image, st.binary(min_size=8, max_size=8), U32, U32, U32, U64, U64), 36),
]
MAPS = [
    st.builds(Storage, created_at=U64),
    st.builds(Repository, id=U32, revision=U64, kind=TEXT, description=TEXT, created_at=U64),
    st.builds(Tag, digest=st.binary(max_size=65), pushed_at=U64, pushed_by=TEXT),
    st.builds(Manifest, media_type=TEXT, size=U64, artifact_type=TEXT, subject=st.binary()),
    st.builds(
        Manifest,
        media_type=TEXT,
        size=U64,
        total=U64,
        platforms=st.lists(TEXT, max_size=3).map(tuple),
    ),
    st.builds(Work, kind=st.sampled_from(WorkKind), upload=TEXT, object=U64, cursor=st.binary()),
]


@given(st.one_of([st.tuples(rows, st.just(width)) for rows, width in ROWS]))
def test_a_fixed_row_reads_back_and_has_its_width(drawn):
    row, width = drawn

    assert len(row.encode()) == width
    assert type(row).decode(row.encode()) == row


@given(st.one_of(MAPS))
def test_a_row_with_text_reads_back(row):
    assert type(row).decode(row.encode()) == row


@given(st.tuples(U64, U64), st.tuples(U64, U64))
def test_a_place_is_the_key_of_its_chunk_and_sorts_as_one(one, other):
    assert (Place(*one).encode() < Place(*other).encode()) == (one < other)


def test_a_row_of_a_later_version_is_read_without_its_new_fields():
    later = msgspec.msgpack.encode({"created_at": 7, "colour": "red"})

    assert Storage.decode(later) == Storage(created_at=7)


def test_a_row_of_an_earlier_version_takes_the_defaults():
    earlier = msgspec.msgpack.encode({"media_type": "m", "size": 1})

    assert Manifest.decode(earlier) == Manifest(media_type="m", size=1)
    assert Manifest(media_type="m", size=1).encode() == earlier


@pytest.mark.parametrize("state", [0, 5, 255])
def test_a_pack_state_nobody_wrote_is_refused(state):
    with pytest.raises(ValueError, match="PackState"):
        Pack.decode(bytes((state,)) + bytes(16))
