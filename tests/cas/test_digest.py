import hashlib

import pytest
from hypothesis import example, given, strategies as st

from cas.digest import Digest, is_digest_grammar, is_supported, new_hash
from cas.errors import DigestInvalid

ALGORITHMS = st.sampled_from(["sha256", "sha512"])
HEX = "0123456789abcdef"


@given(ALGORITHMS, st.binary())
def test_a_digest_is_what_hashlib_says(algorithm, content):
    digest = Digest.of(content, algorithm)

    assert digest.algorithm == algorithm
    assert digest.hex == hashlib.new(algorithm, content).hexdigest()


@given(ALGORITHMS, st.binary())
def test_text_and_key_name_the_same_digest(algorithm, content):
    digest = Digest.of(content, algorithm)

    assert Digest.parse(str(digest)) == digest
    assert Digest(digest.key) == digest
    assert len(digest.key) == {1: 33, 2: 65}[digest.key[0]]


@given(st.text())
@example("sha256:")
def test_parsing_raises_digest_invalid_and_nothing_else(text):
    try:
        digest = Digest.parse(text)
    except DigestInvalid:
        return
    assert str(digest) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha512:" + "a" * 64,
        "sha256:" + "A" * 64,
        "SHA256:" + "a" * 64,
        "sha256:" + "g" * 64,
        "sha256:" + "a" * 64 + "\n",
        " sha256:" + "a" * 64,
        "sha256:../" + "a" * 61,
        "md5:" + "a" * 32,
        "sha256:" + "\u0661" * 64,
        "sha256:" + "a" * 64 + "@sha256:" + "a" * 64,
    ],
)
def test_what_is_no_digest_of_ours_is_refused(text):
    with pytest.raises(DigestInvalid):
        Digest.parse(text)


@pytest.mark.parametrize(
    ("text", "is_grammar"),
    [
        ("sha256:" + "a" * 64, True),
        ("sha256:" + "a" * 63, False),
        ("sha256:" + "A" * 64, False),
        ("blake3:" + "a" * 64, True),
        ("sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564", True),
        ("multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8", True),
        ("sha256", False),
        ("+x:a", False),
        ("a:", False),
    ],
)
def test_a_descriptor_may_carry_any_digest_of_the_grammar(text, is_grammar):
    assert is_digest_grammar(text) is is_grammar


def test_two_algorithms_are_supported():
    assert is_supported("sha256")
    assert is_supported("sha512")
    assert not is_supported("md5")


def test_the_raw_digest_must_have_its_algorithms_length():
    with pytest.raises(DigestInvalid):
        Digest.from_raw("sha256", b"short")


@given(ALGORITHMS, st.lists(st.binary()))
def test_hashing_in_pieces_is_hashing_the_whole(algorithm, pieces):
    hasher = new_hash(algorithm)
    for piece in pieces:
        hasher.update(piece)

    assert Digest.from_raw(algorithm, hasher.digest()) == Digest.of(b"".join(pieces), algorithm)


def test_an_error_shows_no_more_than_the_start_of_a_long_text():
    assert len(str(DigestInvalid("x" * 10_000))) < 300


def test_key_bytes_never_change():
    # Formats: docs/formats/packs.md. The first byte is the algorithm.
    assert Digest.of(b"").key.hex().startswith("01e3b0c442")
    assert Digest.of(b"", "sha512").key.hex().startswith("02cf83e135")
