"""Short-lived tokens: signed, timed, and nobody else's."""

import pytest
from hypothesis import given, strategies as st

from frontend.access.signing import LIFETIME, Claims, Signer

ALICE = Claims(user="alice", id=9, epoch=7, token="id", grants={"a/b/c": ["pull", "push"]})  # noqa: S106 - an id


@pytest.fixture
def times():
    return [1_000_000]


@pytest.fixture
def signer(times):
    return Signer(b"s" * 32, lambda: times[0])


def test_a_token_says_who_and_what(signer):
    assert signer.read(signer.issue(ALICE).token) == ALICE
    assert signer.read(signer.issue(Claims()).token) == Claims()


def test_a_token_ends(signer, times):
    issued = signer.issue(ALICE)

    times[0] += LIFETIME
    assert signer.read(issued.token) is not None
    times[0] += 1
    assert signer.read(issued.token) is None


def test_a_token_of_the_future_is_not_valid(signer, times):
    issued = signer.issue(ALICE)

    times[0] -= 10

    assert signer.read(issued.token) is None


def test_another_secret_reads_nothing(signer):
    token = signer.issue(ALICE).token

    assert Signer(b"t" * 32, lambda: 1_000_000).read(token) is None


@given(st.text())
def test_no_text_is_a_token(text):
    assert Signer(b"s" * 32).read(text) is None


@given(st.integers(0, 200), st.integers(0, 255))
def test_no_changed_token_is_read(position, byte):
    signer = Signer(b"s" * 32, lambda: 1_000_000)
    token = signer.issue(ALICE).token
    position %= len(token)
    changed = token[:position] + chr(byte) + token[position + 1 :]

    claims = signer.read(changed)

    # The last character of base64 has bits without meaning.
    assert claims is None or claims == signer.read(token)
