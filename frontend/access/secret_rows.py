"""Rows of a table of secrets that accounts have: tokens, or sessions.

"i" · id            what `encode` of the row wrote
"h" · hash          id; the BLAKE3 hash of the secret, which itself is nowhere
"u" · user · 0 · id nothing: those of an account
"""

from collections.abc import Iterator
from typing import Generic, Protocol, Self, TypeVar

from frontend.access.secret import hash_of
from index.changes import PutRecord
from index.view import View


class SecretRow(Protocol):
    """What is kept of one secret."""

    @property
    def hash(self) -> bytes:
        """Of the secret."""

    @property
    def user(self) -> str:
        """The folded name of the account that has it."""

    def encode(self) -> bytes:
        """The row's bytes."""

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` wrote."""


RowT = TypeVar("RowT", bound=SecretRow)


class SecretRows(Generic[RowT]):
    """The rows of one table, each a `kind`."""

    def __init__(self, table: str, kind: type[RowT]) -> None:
        self._table = table
        self._kind = kind

    def put_new(self, row_id: str, row: RowT) -> list[PutRecord]:
        """The changes that make one."""
        return [
            self.put(row_id, row),
            PutRecord(self._table, b"h" + row.hash, row_id.encode()),
            PutRecord(self._table, _of_user(row.user) + row_id.encode(), b"\1"),
        ]

    def put(self, row_id: str, row: RowT) -> PutRecord:
        """The change that writes one anew: of the same secret and account."""
        return PutRecord(self._table, self.row_key(row_id), row.encode())

    def drop(self, row_id: str, row: RowT) -> list[PutRecord]:
        """The changes that end one."""
        keys = (self.row_key(row_id), b"h" + row.hash, _of_user(row.user) + row_id.encode())
        return [PutRecord(self._table, key, None) for key in keys]

    def row_key(self, row_id: str) -> bytes:
        """The key of the row."""
        return b"i" + row_id.encode("utf-8", "replace")[:64]

    def find_id(self, view: View, secret: str) -> str | None:
        """The id of a secret that a client sent."""
        found = view.record(self._table, b"h" + hash_of(secret))
        return None if found is None else found.decode()

    def find_row(self, view: View, row_id: str) -> bytes | None:
        """The encoded row of an id."""
        return view.record(self._table, self.row_key(row_id))

    def iter_of(self, view: View, user: str) -> Iterator[tuple[str, RowT]]:
        """(id, row) of an account."""
        prefix = _of_user(user)
        for key, _ in view.iter_records(self._table, prefix):
            row_id = key[len(prefix) :].decode()
            row = self.find_row(view, row_id)
            if row is not None:
                yield row_id, self._kind.decode(row)


def _of_user(user: str) -> bytes:
    return b"u" + user.encode() + b"\0"
