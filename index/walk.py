"""A cursor that goes where it is sent: for questions that are more than one range."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import lmdb

    from index.view import View

T = TypeVar("T")


class Walk:
    """A place in one table. Every move is a step of the view it belongs to."""

    __slots__ = ("_cursor", "_is_over", "_view")

    def __init__(self, view: "View", cursor: "lmdb.Cursor[bytes]") -> None:
        self._view = view
        self._cursor = cursor
        self._is_over = False

    def seek(self, key: bytes) -> bytes:
        """Go to the first row at or beyond `key`; returns its key, empty: there is none."""
        self._view.steps += 1
        self._is_over = not self._cursor.set_range(key)
        return self._cursor.key()

    def next(self) -> bytes:
        """Go to the row that follows; returns its key, empty: there is none."""
        self._view.steps += 1
        self._is_over = not self._cursor.next()
        return self._cursor.key()

    def keys(self, most: int) -> list[bytes]:
        """The keys of this row and those that follow, `most` at most; goes to the row beyond."""
        return self._take(self._cursor.iternext(keys=True, values=False), most)

    def items(self, most: int) -> list[tuple[bytes, bytes]]:
        """(key, value) of this row and those that follow, `most` at most; goes beyond them."""
        return self._take(self._cursor.iternext(keys=True, values=True), most)

    def _take(self, rows: Iterator[T], most: int) -> list[T]:
        if self._is_over:
            return []
        found = list(islice(rows, most))
        self._view.steps += len(found)
        # It stands at the last of these, and another iteration would begin with that once more.
        self._is_over = len(found) < most or not self._cursor.next()
        return found

    def values(self) -> Iterator[bytes]:
        """The values of this row and all that follow; of all rows, before it was sent anywhere."""
        return self._cursor.iternext(keys=False, values=True)


@contextmanager
def walking(view: "View", cursor: "lmdb.Cursor[bytes]") -> Iterator[Walk]:
    """Walk with a cursor, and close it."""
    with cursor:
        yield Walk(view, cursor)
