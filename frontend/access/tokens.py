"""Rows of the table `token`, as in `secret_rows`: access tokens, and refresh tokens of clients.

A row is the MessagePack of `Token`. And besides:

"t" · id            u64 when it was last used, in seconds since 1970
"""

from typing import Final, Literal, Self

import msgspec

from frontend.access.secret import ACCESS, REFRESH, hash_of, new_id, new_secret
from frontend.access.secret_rows import SecretRows
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


ROWS: Final = SecretRows(TABLE, Token)


def new_token(row: Token) -> tuple[str, str, list[PutRecord]]:
    """Make a token of what `row` says, but for its hash: (its id, itself, the changes)."""
    secret = new_secret(ACCESS if row.kind == "access" else REFRESH)
    token_id, row = new_id(), msgspec.structs.replace(row, hash=hash_of(secret))
    return token_id, secret, ROWS.put_new(token_id, row)


def drop_token(token_id: str, row: Token) -> list[PutRecord]:
    """The changes that end a token."""
    return [*ROWS.drop(token_id, row), PutRecord(TABLE, used_key(token_id), None)]


def used_key(token_id: str) -> bytes:
    """The key of when it was last used."""
    return b"t" + token_id.encode("utf-8", "replace")[:64]


def last_used(view: View, token_id: str) -> int:
    """When it was last used, within an hour; 0: never."""
    return int.from_bytes(view.record(TABLE, used_key(token_id)) or b"\0")
