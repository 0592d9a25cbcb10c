"""Answers as bytes: their heads, and the framing of what the application sends. Pure."""

import time
from collections.abc import Callable, Iterable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from frontend.server.heads import Head

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS: Final = {
    int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n" for status in HTTPStatus
}
_BODILESS: Final = (204, 304)
_OURS: Final = frozenset(("connection", "transfer-encoding", "date"))  # said here and nowhere else


class AnswerBroken(Exception):
    """An answer of ours that must not reach the client as if it were whole."""

    def __init__(self, reason: str, *, looks_whole: bool = False) -> None:
        super().__init__(reason)
        self.looks_whole = looks_whole  # the end of the connection is all that ends it


class Dates:
    """The Date of now, formatted once a second."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._second = -1
        self._ends = (b"", b"")

    def end_head(self, *, is_last: bool) -> bytes:
        """The fields that end every head, and its empty line."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            date = f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
            self._ends = (date + b"\r\n", date + b"Connection: close\r\n\r\n")
        return self._ends[is_last]


end_head: Final = Dates().end_head


def begin_head(status: int, fields: Sequence[tuple[str, str]]) -> bytes:
    """The head of an answer without what `end_head` adds.

    Raises:
        AnswerBroken: a field holds the end of a line.
        UnicodeEncodeError: a field holds what Latin-1 has not.
    """
    lines = [f"{name}: {value}\r\n" for name, value in fields]
    head = "".join((_STATUS.get(status) or f"HTTP/1.1 {status} \r\n", *lines))
    # Whatever came from a stranger, as a media type did, must not become a line of its own.
    expected = len(lines) + 1
    if head.count("\n") != expected or head.count("\r") != expected or "\0" in head:
        raise AnswerBroken("a field with the end of a line in it")
    return head.encode("latin-1")


def refusal(status: int) -> bytes:
    """The whole answer of a connection that refuses a request and closes."""
    return begin_head(status, (("Content-Length", "0"),)) + end_head(is_last=True)


class Framer:
    """One answer of the application, which says its parts in order: `begin`, `body`…, `end`."""

    def __init__(self, head: Head) -> None:
        self._request = head
        self._pending = b""  # our head, until it can travel with the first bytes of the body
        self._left: int | None = 0  # bytes still to come; None: no length was given
        self._is_chunked = False
        self.is_last = head.is_last
        self.has_begun = False
        self.is_whole = False

    def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, is_last: bool) -> None:
        """Take status and headers; nothing is to be sent yet.

        Raises:
            AnswerBroken
        """
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        said = {name.lower(): value for name, value in fields}
        self.is_last = self.is_last or is_last or "close" in said.get("connection", "").lower()
        kept = [field for field in fields if field[0].lower() not in _OURS]
        length = said.get("content-length")
        if self._request.method == "HEAD" or status in _BODILESS or status < 200:
            self._left = 0
        elif length is not None:
            self._left = int(length)
        else:
            self._left = None
            self._is_chunked = self._request.version != "1.0"
            if self._is_chunked:
                kept.append(("Transfer-Encoding", "chunked"))
            else:
                self.is_last = True
        self._pending = begin_head(status, kept) + end_head(is_last=self.is_last)
        self.has_begun = True

    def body(self, data: bytes) -> tuple[bytes, ...]:
        """What to send for a part of the body.

        Raises:
            AnswerBroken: it is more than was said.
        """
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise AnswerBroken("a body longer than its Content-Length")
        head, self._pending = self._pending, b""
        if self._is_chunked:
            return (b"%b%x\r\n" % (head, len(data)), data, b"\r\n") if data else (head,)
        return (head, data)

    def passed(self, count: int) -> bytes:
        """What to send before `count` bytes of the body that are sent another way.

        Raises:
            AnswerBroken: it is more than was said, or no length was.
        """
        if self._left is None or self._left < count:
            raise AnswerBroken("a body longer than its Content-Length")
        self._left -= count
        head, self._pending = self._pending, b""
        return head

    @property
    def ends_with_connection(self) -> bool:
        """Nothing else tells the client where the body ends."""
        return self._left is None and not self._is_chunked

    def end(self) -> tuple[bytes, ...]:
        """What to send at the end.

        Raises:
            AnswerBroken: the body is shorter than was said.
        """
        if self._left:
            raise AnswerBroken("a body shorter than its Content-Length")
        self.is_whole = True
        head, self._pending = self._pending, b""
        return (head, b"0\r\n\r\n" if self._is_chunked else b"")
