"""Rows of the table `session`: browsers that are signed in.

"i" · id            MessagePack of `Session`
"h" · hash          id; the BLAKE3 hash of the cookie, which itself is nowhere
"u" · user · 0 · id nothing: the sessions of an account
"""

import hmac
from collections.abc import Iterator
from typing import Final, Self

import msgspec
from blake3 import blake3

from frontend.access.secret import hash_of, new_id, new_secret
from frontend.access.users import User
from frontend.domain.discreet import Discreet
from index.changes import PutRecord
from index.view import View

TABLE: Final = "session"
COOKIE: Final = "orlop_session"
_CSRF: Final = "orlop 2026 csrf token of a session"  # context of the derivation
_MAX_COOKIE: Final = 200  # characters


class Session(Discreet, msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A browser of an account. Times are seconds since 1970."""

    hash: bytes
    user: str  # folded name
    user_id: int
    epoch: int
    created_at: int = 0
    expires_at: int = 0
    address: str = ""
    agent: str = ""  # what the browser calls itself

    def encode(self) -> bytes:
        """MessagePack map of field names to values."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` wrote; fields of a later version are ignored."""
        return msgspec.msgpack.decode(value, type=cls)

    def is_of(self, user: User, now: float) -> bool:
        """Whether it still stands for the account as it is."""
        is_same = (self.user_id, self.epoch) == (user.id, user.epoch)
        return is_same and now < self.expires_at and not user.is_disabled


def new_session(row: Session) -> tuple[str, str, list[PutRecord]]:
    """Make a session of what `row` says, but for its hash: (its id, its cookie, the changes)."""
    cookie = new_secret()
    session_id, row = new_id(), msgspec.structs.replace(row, hash=hash_of(cookie))
    changes = [
        put_session(session_id, row),
        PutRecord(TABLE, b"h" + row.hash, session_id.encode()),
        PutRecord(TABLE, _of_user(row.user) + session_id.encode(), b"\1"),
    ]
    return session_id, cookie, changes


def put_session(session_id: str, row: Session) -> PutRecord:
    """The change that writes a session's row anew."""
    return PutRecord(TABLE, row_key(session_id), row.encode())


def drop_session(session_id: str, row: Session) -> list[PutRecord]:
    """The changes that end a session."""
    keys = (row_key(session_id), b"h" + row.hash, _of_user(row.user) + session_id.encode())
    return [PutRecord(TABLE, key, None) for key in keys]


def row_key(session_id: str) -> bytes:
    """The key of a session's row."""
    return b"i" + session_id.encode("utf-8", "replace")[:64]


def find_id(view: View, cookie: str) -> str | None:
    """The id of the session that a browser sent."""
    found = view.record(TABLE, b"h" + hash_of(cookie))
    return None if found is None else found.decode()


def find_row(view: View, session_id: str) -> bytes | None:
    """The encoded row of a session."""
    return view.record(TABLE, row_key(session_id))


def iter_sessions(view: View, user: str) -> Iterator[tuple[str, Session]]:
    """(id, session) of an account."""
    prefix = _of_user(user)
    for key, _ in view.iter_records(TABLE, prefix):
        session_id = key[len(prefix) :].decode()
        row = find_row(view, session_id)
        if row is not None:
            yield session_id, Session.decode(row)


def csrf_token(cookie: str) -> str:
    """What a page of the session sends with whatever changes something.

    Derived, so that nothing more is kept; the cookie cannot be found by it.
    """
    derived = blake3(cookie.encode("utf-8", "replace"), derive_key_context=_CSRF)
    return derived.hexdigest(length=32)


def is_csrf_token(cookie: str, said: str) -> bool:
    """Whether a request said the token of its session."""
    return hmac.compare_digest(csrf_token(cookie).encode(), said.encode("utf-8", "replace"))


def cookie_of(header: str) -> str:
    """The session's cookie in a Cookie field; empty without one. Source: RFC 6265, 4.2."""
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE and len(value) <= _MAX_COOKIE:
            return value
    return ""


def _of_user(user: str) -> bytes:
    return b"u" + user.encode() + b"\0"
