"""A write transaction: a view that sees its own changes, and puts and deletes rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from index import keys
from index.view import View

if TYPE_CHECKING:
    import lmdb


class Transaction(View):
    """Made by the writer thread only; an operation gets a child of the commit's transaction."""

    __slots__ = ("rows",)

    def __init__(
        self, transaction: "lmdb.Transaction[bytes]", tables: "Mapping[str, lmdb._Database]"
    ) -> None:
        super().__init__(transaction, tables)
        self.rows = 0  # written or deleted so far

    def put(self, table: str, key: bytes, value: bytes = b"") -> None:
        """Write one row."""
        self.rows += 1
        self._transaction.put(key, value, db=self._tables[table])

    def delete(self, table: str, key: bytes) -> bool:
        """Delete one row; says whether it was there."""
        self.rows += 1
        return self._transaction.delete(key, db=self._tables[table])

    def take_number(self, counter: bytes, size: int) -> int:
        """The next number of a counter in `meta` (the first is 1), `size` bytes wide."""
        taken = keys.number(self.get("meta", counter) or b"\0") + 1
        self.put("meta", counter, taken.to_bytes(size))
        return taken

    def bump_revision(self) -> int:
        """Count one more commit that changed something."""
        return self.take_number(keys.META_REVISION, 8)
