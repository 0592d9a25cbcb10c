"""Rows of the table `token`: access tokens, and refresh tokens of clients that logged in.

"i" · id            MessagePack of `Token`
"h" · hash          id; the BLAKE3 hash of the token, which itself is nowhere
"u" · user · 0 · id nothing: the tokens of an account
"t" · id            u64 when it was last used, in seconds since 1970
"""

from collections.abc import Iterator
from typing import Final, Literal, Self

import msgspec

from frontend.access.secret import ACCESS, REFRESH, hash_of, new_id, new_secret
from frontend.access.users import User
from frontend.domain.discreet import Discreet
from frontend.domain.message import Scope
from index.changes import PutRecord
from index.view import View

TABLE: Final = "token"
Kind = Literal["access", "refresh"]


class Narrowed(msgspec.Struct, frozen=True, array_like=True):
    """One scope of a token, as it is kept."""

    repository: str
    actions: tuple[str, ...]


class Token(Discreet, msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token of an account. Times are seconds since 1970; `expires_at` 0: never.

    A refresh token ends with the password that it was made by (`epoch`).
    """

    hash: bytes
    user: str  # folded name
    user_id: int
    name: str = ""
    kind: Kind = "access"
    created_at: int = 0
    expires_at: int = 0
    scopes: tuple[Narrowed, ...] | None = None
    epoch: int = 0

    def encode(self) -> bytes:
        """MessagePack map of field names to values."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` wrote; fields of a later version are ignored."""
        return msgspec.msgpack.decode(value, type=cls)

    def is_of(self, user: User, now: float) -> bool:
        """Whether it still stands for the account as it is."""
        is_current = not self.expires_at or now < self.expires_at
        has_password = self.kind == "access" or self.epoch == user.epoch
        return is_current and has_password and self.user_id == user.id and not user.is_disabled

    @property
    def narrowing(self) -> tuple[Scope, ...] | None:
        """Its scopes as rights are decided by them."""
        if self.scopes is None:
            return None
        return tuple(Scope(each.repository, frozenset(each.actions)) for each in self.scopes)


def new_token(row: Token) -> tuple[str, str, list[PutRecord]]:
    """Make a token of what `row` says, but for its hash: (its id, itself, the changes)."""
    secret = new_secret(ACCESS if row.kind == "access" else REFRESH)
    token_id, row = new_id(), msgspec.structs.replace(row, hash=hash_of(secret))
    changes = [
        PutRecord(TABLE, row_key(token_id), row.encode()),
        PutRecord(TABLE, b"h" + row.hash, token_id.encode()),
        PutRecord(TABLE, _of_user(row.user) + token_id.encode(), b"\1"),
    ]
    return token_id, secret, changes


def drop_token(token_id: str, row: Token) -> list[PutRecord]:
    """The changes that end a token."""
    keys = (row_key(token_id), b"h" + row.hash, _of_user(row.user) + token_id.encode())
    return [PutRecord(TABLE, key, None) for key in (*keys, used_key(token_id))]


def row_key(token_id: str) -> bytes:
    """The key of a token's row."""
    return b"i" + token_id.encode("utf-8", "replace")[:64]


def used_key(token_id: str) -> bytes:
    """The key of when it was last used."""
    return b"t" + token_id.encode("utf-8", "replace")[:64]


def find_id(view: View, secret: str) -> str | None:
    """The id of the token that a client sent."""
    found = view.record(TABLE, b"h" + hash_of(secret))
    return None if found is None else found.decode()


def find_row(view: View, token_id: str) -> bytes | None:
    """The encoded row of a token."""
    return view.record(TABLE, row_key(token_id))


def last_used(view: View, token_id: str) -> int:
    """When it was last used, within an hour; 0: never."""
    return int.from_bytes(view.record(TABLE, used_key(token_id)) or b"\0")


def iter_tokens(view: View, user: str) -> Iterator[tuple[str, Token]]:
    """(id, token) of an account."""
    prefix = _of_user(user)
    for key, _ in view.iter_records(TABLE, prefix):
        token_id = key[len(prefix) :].decode()
        row = find_row(view, token_id)
        if row is not None:
            yield token_id, Token.decode(row)


def _of_user(user: str) -> bytes:
    return b"u" + user.encode() + b"\0"
