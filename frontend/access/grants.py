"""Rows of the table `grant`: the role that an account has in a repository.

    "r" · R · user      the role's name; R is the repository's id, four bytes
    "u" · user · 0 · R  the same: the repositories of an account

A repository that is created anew has another R, so it inherits nothing.
"""

from collections.abc import Iterator
from typing import Final

from index.changes import PutRecord
from index.keys import number, u32
from index.view import View

TABLE: Final = "grant"


def put_grant(repository: int, user: str, role: str | None) -> list[PutRecord]:
    """The changes that give an account (a folded name) a role, or with None take it away."""
    value = None if role is None else role.encode()
    return [
        PutRecord(TABLE, row_key(repository, user), value),
        PutRecord(TABLE, _of_user(user) + u32(repository), value),
    ]


def row_key(repository: int, user: str) -> bytes:
    """The key of a role."""
    return b"r" + u32(repository) + user.encode()


def find_row(view: View, repository: int, user: str) -> bytes | None:
    """The role's name, encoded."""
    return view.record(TABLE, row_key(repository, user))


def iter_grants(view: View, repository: int) -> Iterator[tuple[str, str]]:
    """(user, role) of a repository, in the order of the names."""
    prefix = b"r" + u32(repository)
    for key, value in view.iter_records(TABLE, prefix):
        yield key[len(prefix) :].decode(), value.decode()


def iter_roles(view: View, user: str) -> Iterator[tuple[int, str]]:
    """(repository id, role) of an account."""
    prefix = _of_user(user)
    for key, value in view.iter_records(TABLE, prefix):
        yield number(key[len(prefix) :]), value.decode()


def _of_user(user: str) -> bytes:
    return b"u" + user.encode() + b"\0"
