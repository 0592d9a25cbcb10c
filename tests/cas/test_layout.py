from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from cas import layout
from cas.errors import UploadUnknown
from cas.verbs import Owner
from index.changes import ImageName

SECRET = bytes(range(32))
NONCE = bytes(range(16))
OWNER = Owner(ImageName("local/images", "a/b"), "admin")

WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)
OWNERS = st.builds(
    lambda storage, repository, path, principal, algorithm: Owner(
        ImageName(f"{storage}/{repository}", path), principal, algorithm
    ),
    WORDS,
    WORDS,
    WORDS,
    WORDS,
    st.sampled_from(["sha256", "sha512"]),
)
NONCES = st.binary(min_size=16, max_size=16)


def test_every_byte_of_a_session_id_is_as_the_format_says():
    # Golden: docs/formats/packs.md. A change here ends every upload that is under way.
    session = layout.session_id(SECRET, OWNER, NONCE)

    assert session == "000102030405060708090a0b0c0d0e0f01" + GOLDEN_MAC
    assert layout.session_pack(session) == 0x0001020304050607


GOLDEN_MAC = "c4d31a0af54ef191f36e9d84f37f1f"


@given(OWNERS, NONCES)
def test_the_owner_may_use_its_session(owner, nonce):
    session = layout.session_id(SECRET, owner, nonce)

    layout.check_session(SECRET, owner, session)
    assert len(session) == layout.SESSION_SIZE
    assert layout.session_algorithm(session) == owner.algorithm
    assert layout.session_pack(session) == int.from_bytes(nonce[:8])


@given(OWNERS, OWNERS, NONCES)
def test_nobody_else_may(owner, other, nonce):
    session = layout.session_id(SECRET, owner, nonce)

    if (owner.image, owner.principal) != (other.image, other.principal):
        with pytest.raises(UploadUnknown):
            layout.check_session(SECRET, other, session)


@given(NONCES)
def test_another_stores_session_is_unknown(nonce):
    session = layout.session_id(b"another secret", OWNER, nonce)

    with pytest.raises(UploadUnknown):
        layout.check_session(SECRET, OWNER, session)


@given(NONCES, st.integers(0, layout.SESSION_SIZE - 1), st.sampled_from("0123456789abcdefAF \0é"))
def test_a_session_with_any_character_changed_is_unknown(nonce, position, character):
    session = layout.session_id(SECRET, OWNER, nonce)
    changed = session[:position] + character + session[position + 1 :]

    if changed != session:
        with pytest.raises(UploadUnknown):
            layout.check_session(SECRET, OWNER, changed)


@given(st.text())
def test_any_text_is_a_session_or_unknown(text):
    with pytest.raises(UploadUnknown):
        layout.check_session(SECRET, OWNER, text)


def test_upper_case_and_spaces_do_not_name_a_session_twice():
    session = layout.session_id(SECRET, OWNER, b"\xab" * 16)

    for other in (session.upper(), session + " ", " " + session, session[:2] + " " + session[2:]):
        with pytest.raises(UploadUnknown):
            layout.check_session(SECRET, OWNER, other)


def test_packs_and_uploads_lie_in_folders_of_their_own():
    root = Path("data")

    assert layout.pack_path(root, 0xAB) == root / "packs" / "00000000000000ab"
    assert layout.upload_path(root, "0" * 64) == root / "uploads" / ("0" * 64)
