"""A cursor that goes where it is sent: for questions that are more than one range."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import lmdb

    from index.view import View


class Walk:
    """A place in one table. Every move is a step of the view it belongs to."""

    __slots__ = ("_cursor", "_view")

    def __init__(self, view: "View", cursor: "lmdb.Cursor[bytes]") -> None:
        self._view = view
        self._cursor = cursor

    def seek(self, key: bytes) -> bytes:
        """Go to the first row at or beyond `key`; returns its key, empty: there is none."""
        self._view.steps += 1
        self._cursor.set_range(key)
        return self._cursor.key()

    def next(self) -> bytes:
        """Go to the row that follows; returns its key, empty: there is none."""
        self._view.steps += 1
        self._cursor.next()
        return self._cursor.key()

    def keys(self, most: int) -> list[bytes]:
        """The keys of this row and those that follow, `most` at most; the walk ends there."""
        found = list(islice(self._cursor.iternext(keys=True, values=False), most))
        self._view.steps += len(found)
        return found

    def items(self, most: int) -> list[tuple[bytes, bytes]]:
        """(key, value) of this row and those that follow, `most` at most; the walk ends there."""
        found = list(islice(self._cursor.iternext(keys=True, values=True), most))
        self._view.steps += len(found)
        return found

    def values(self) -> Iterator[bytes]:
        """The values of this row and all that follow; of all rows, before it was sent anywhere."""
        return self._cursor.iternext(keys=False, values=True)


@contextmanager
def walking(view: "View", cursor: "lmdb.Cursor[bytes]") -> Iterator[Walk]:
    """Walk with a cursor, and close it."""
    with cursor:
        yield Walk(view, cursor)
