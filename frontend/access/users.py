"""Rows of the table `user`: folded name → MessagePack of `User`."""

import re
import secrets
from collections.abc import Iterator
from typing import Final, Self

import msgspec

from frontend.domain.discreet import Discreet
from index.changes import PutRecord
from index.view import View

TABLE: Final = "user"
ADMIN: Final = "admin"  # the role, and the name of the first user
USER: Final = "user"
# No colon, which would end it in Basic credentials, and nothing that is shown as something else.
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,62}[a-z0-9])?")


class User(Discreet, msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An account.

    `id` tells it from an earlier one of the same name, `epoch` from itself with an earlier
    password: both are random, and in whatever was proven by it.
    """

    hash: str  # argon2id, in PHC form
    role: str = USER
    epoch: int = 0
    id: int = 0
    is_disabled: bool = False
    created_at: int = 0  # seconds since 1970

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


def new_user(encoded: str, role: str, now: int) -> User:
    """An account that is none of those before it."""
    numbers = (secrets.randbits(63), secrets.randbits(63))
    return User(hash=encoded, role=role, id=numbers[0], epoch=numbers[1], created_at=now)


def with_password(user: User, encoded: str) -> User:
    """The account with another password: what the old one proved is worth nothing any more."""
    return msgspec.structs.replace(user, hash=encoded, epoch=secrets.randbits(63))


def fold(name: str) -> str:
    """Names that differ in case alone are one account."""
    return name.casefold()


def is_user_name(name: str) -> bool:
    """Whether a folded name may be an account's."""
    return _NAME.fullmatch(name) is not None


def row_key(name: str) -> bytes | None:
    """The row's key of a folded name; None for what cannot be one."""
    key = name.encode("utf-8", "replace")
    return key if 0 < len(key) <= 255 else None  # bytes: the index's keys end at 511


def find_row(view: View, name: str) -> bytes | None:
    """The encoded account of a folded name."""
    key = row_key(name)
    return None if key is None else view.record(TABLE, key)


def find(view: View, name: str) -> User | None:
    """The account of a folded name; None for what cannot be one."""
    value = find_row(view, name)
    return None if value is None else User.decode(value)


def iter_users(view: View) -> Iterator[tuple[str, User]]:
    """All accounts in the order of their names."""
    for key, value in view.iter_records(TABLE):
        yield key.decode(), User.decode(value)


def put(name: str, user: User) -> PutRecord:
    """The change that writes an account."""
    return PutRecord(TABLE, fold(name).encode(), user.encode())
