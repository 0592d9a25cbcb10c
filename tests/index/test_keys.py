"""`index.keys`: one prefix per question, byte order is logical order."""

import struct

import pytest
from hypothesis import given, strategies as st

from index import keys

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
IMAGES = st.binary(min_size=8, max_size=8)
SHA256 = st.binary(min_size=32, max_size=32).map(lambda raw: b"\x01" + raw)
SHA512 = st.binary(min_size=64, max_size=64).map(lambda raw: b"\x02" + raw)
DIGESTS = SHA256 | SHA512
TAGS = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", fullmatch=True)
PATHS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(U32, U64)
def test_numbers_read_back(small, large):
    assert keys.number(keys.u32(small)) == small
    assert keys.number(keys.u64(large)) == large


@given(U64, U64)
def test_numbers_sort_as_bytes(one, other):
    assert (keys.u64(one) < keys.u64(other)) == (one < other)


@given(st.tuples(U64, U64), st.tuples(U64, U64))
def test_places_read_back_and_sort_by_pack_then_offset(one, other):
    assert keys.split_place(keys.place(*one)) == one
    assert (keys.place(*one) < keys.place(*other)) == (one < other)


@given(st.tuples(U64, st.integers(0, 255), DIGESTS), st.tuples(U64, st.integers(0, 255), DIGESTS))
def test_garbage_reads_back_and_the_oldest_comes_first(one, other):
    assert keys.split_garbage(keys.garbage(*one)) == one
    if one[0] != other[0]:
        assert (keys.garbage(*one) < keys.garbage(*other)) == (one[0] < other[0])


@given(DIGESTS, st.binary(max_size=80))
def test_a_digest_is_split_off_whatever_follows(digest, rest):
    assert keys.split_digest(digest + rest) == (digest, rest)


@given(DIGESTS, DIGESTS)
def test_no_digest_begins_with_another(one, other):
    assert one == other or not one.startswith(other)


@given(IMAGES, TAGS, TAGS)
def test_tags_of_an_image_sort_as_text(image, one, other):
    assert (keys.tag(image, one) < keys.tag(image, other)) == (one < other)


@given(U32.map(keys.u32), PATHS, PATHS)
def test_images_of_a_repository_sort_by_code_point(repository, one, other):
    # UTF-8 keeps the order of code points, and so does Python's comparison of text.
    assert (keys.image(repository, one) < keys.image(repository, other)) == (one < other)


@given(IMAGES, IMAGES, TAGS, DIGESTS)
def test_no_key_of_one_image_lies_within_another_ones_prefix(one, other, tag, digest):
    of_one = (
        keys.tag(one, tag),
        one + digest,
        one + digest + tag.encode(),
        one + digest + digest,
        one + digest + keys.type_hash("application/x") + digest,
    )

    assert one == other or not any(key.startswith(other) for key in of_one)
    assert all(key.startswith(one[:4]) for key in of_one)  # and all lie within the repository


@given(IMAGES, DIGESTS, DIGESTS, st.binary(max_size=80))
def test_no_row_about_one_digest_lies_within_another_ones_prefix(image, one, other, rest):
    assert one == other or not (image + one + rest).startswith(image + other)


def test_a_type_hash_has_a_fixed_size_and_tells_types_apart():
    hashes = {keys.type_hash(text) for text in ("", "a", "A", "application/spdx+json")}

    assert len(hashes) == 4
    assert {len(value) for value in hashes} == {keys.TYPE_HASH_SIZE}


def test_the_longest_key_that_names_allow_fits_lmdb():
    digest, image = b"\x02" + bytes(64), bytes(keys.IMAGE_SIZE)
    longest = (
        keys.image(bytes(4), "a" * 255),
        image + digest + b"t" * 128,
        image + digest + digest,
        image + digest + bytes(keys.TYPE_HASH_SIZE) + digest,
        keys.garbage(2**64 - 1, 1, image + digest),
    )

    assert max(map(len, longest)) <= keys.MAX_KEY


@pytest.mark.parametrize("number", [-1, 2**32])
def test_a_number_that_does_not_fit_is_an_error_not_another_number(number):
    with pytest.raises(struct.error):
        keys.u32(number)
