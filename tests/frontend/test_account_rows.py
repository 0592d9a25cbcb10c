"""The rows of accounts, byte for byte: docs/formats/accounts.md."""

import json
from pathlib import Path

import pytest

from frontend.access import grants, sessions, tokens, users
from frontend.access.secret import hash_of, is_access_token, is_refresh_token, new_secret

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "accounts-v1.json"
ROWS = {
    "user": users.User(
        hash="$argon2id$v=19$", role="admin", epoch=2**62, id=7, is_disabled=True, created_at=9
    ),
    "user of before": users.User(hash="$argon2id$v=19$", role="admin", epoch=1),
    "token": tokens.Token(
        hash=bytes(32),
        user="alice",
        user_id=7,
        name="laptop",
        created_at=9,
        expires_at=10,
        scopes=(tokens.Narrowed("local/*", ("pull", "push")),),
    ),
    "refresh token": tokens.Token(hash=bytes(32), user="alice", user_id=7, kind="refresh", epoch=3),
    "session": sessions.Session(
        hash=bytes(32),
        user="alice",
        user_id=7,
        epoch=3,
        created_at=9,
        expires_at=10,
        address="127.0.0.1",
        agent="browser",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_as_it_was_and_reads_back(name):
    golden = json.loads(GOLDEN.read_text())

    assert ROWS[name].encode().hex() == golden[name]
    assert type(ROWS[name]).decode(bytes.fromhex(golden[name])) == ROWS[name]


def test_keys_are_as_they_were():
    golden = json.loads(GOLDEN.read_text())["keys"]
    _, _, token = tokens.new_token(ROWS["token"])
    _, _, session = sessions.new_session(ROWS["session"])
    role = grants.put_grant(258, "alice", "reader")

    assert [change.key[:1].decode() for change in (*token, *session)] == ["i", "h", "u"] * 2
    assert token[2].key[:7].hex() == session[2].key[:7].hex() == golden["of alice"]
    assert [change.key.hex() for change in role] == golden["role of alice in 258"]
    assert hash_of("orlop_x").hex() == golden["hash of orlop_x"]


def test_secrets_are_of_their_form_and_never_twice():
    access, refresh = new_secret("orlop_"), new_secret("orlopr_")

    assert is_access_token(access)
    assert is_refresh_token(refresh)
    assert not is_access_token(refresh)
    assert not is_refresh_token(access)
    assert len({new_secret() for _ in range(100)}) == 100
