"""Rows of the table `user`: folded name → MessagePack of `User`."""

from typing import Final, Self

import msgspec

from index.changes import PutRecord
from index.view import View

TABLE: Final = "user"
ADMIN: Final = "admin"  # the role, and the name of the first user


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An account. `epoch` is in every short-lived token: raising it revokes them."""

    hash: str  # argon2id, in PHC form
    role: str = "user"
    epoch: int = 0

    def encode(self) -> bytes:
        """MessagePack map of field names to values."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` wrote; fields of a later version are ignored."""
        return msgspec.msgpack.decode(value, type=cls)

    @property
    def is_admin(self) -> bool:
        """May do everything."""
        return self.role == ADMIN


def fold(name: str) -> str:
    """Names that differ in case alone are one account."""
    return name.casefold()


def find_row(view: View, name: str) -> bytes | None:
    """The encoded account of a folded name; None for what cannot be one."""
    key = name.encode("utf-8", "replace")
    if not 0 < len(key) <= 255:  # bytes: the index's keys end at 511
        return None
    return view.record(TABLE, key)


def find(view: View, name: str) -> User | None:
    """The account of a folded name; None for what cannot be one."""
    value = find_row(view, name)
    return None if value is None else User.decode(value)


def put(name: str, user: User) -> PutRecord:
    """The change that writes an account."""
    return PutRecord(TABLE, fold(name).encode(), user.encode())
