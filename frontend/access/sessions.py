"""Rows of the table `session`, as in `secret_rows`: browsers that are signed in.

A row is the MessagePack of `Session`; its secret is the cookie.
"""

import hmac
from typing import Final, Self

import msgspec
from blake3 import blake3

from frontend.access.secret import hash_of, new_id, new_secret
from frontend.access.secret_rows import SecretRows
from frontend.access.users import User
from frontend.domain.discreet import Discreet
from index.changes import PutRecord

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


ROWS: Final = SecretRows(TABLE, Session)


def new_session(row: Session) -> tuple[str, str, list[PutRecord]]:
    """Make a session of what `row` says, but for its hash: (its id, its cookie, the changes)."""
    cookie = new_secret()
    session_id, row = new_id(), msgspec.structs.replace(row, hash=hash_of(cookie))
    return session_id, cookie, ROWS.put_new(session_id, row)


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
