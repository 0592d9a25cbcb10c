"""Chunked bodies (RFC 9112, 7.1), decoded strictly and with limits. Pure.

llhttp neither stops at the end of a body nor limits extensions and trailers, and it takes sizes of
any length; where a body ends decides what the next request is.
"""

import re
from typing import Final

from frontend.server.heads import Refused

LINE_LIMIT: Final = 256  # bytes of a size with its extensions; nobody sends any
TRAILER_LIMIT: Final = 8 << 10  # bytes of all trailers
TURN: Final = 256  # chunks decoded at a time, 1 ms: a read of tiny ones would hold the loop for 1 s

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_TRAILER: Final = re.compile(rb"[!#-'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*")


class Chunked:
    """Takes the bytes of one body and gives its content back."""

    def __init__(self) -> None:
        self._left = 0  # bytes of the chunk that is being read, its CRLF apart
        self._is_in_chunk = False
        self._trailers = -1  # bytes of them so far; below zero: chunks still come
        self.is_over = False

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """(content, what was not used); what was not used comes again before what follows it.

        No more than `TURN` chunks are decoded: there is nothing to wait for while content comes.
        Once `is_over`, it is the beginning of the next request.

        Raises:
            Refused: 400.
        """
        content: list[bytes] = []
        at = 0
        while not self.is_over and len(content) < TURN:
            step = self._chunk(data, at, content) if self._is_in_chunk else self._line(data, at)
            if step == 0:
                break
            at += step
        return b"".join(content), data[at:]

    def _chunk(self, data: bytes, at: int, content: list[bytes]) -> int:
        """Take content of the chunk, or the CRLF behind it; returns bytes used."""
        if self._left:
            piece = data[at : at + self._left]
            content.append(piece)
            self._left -= len(piece)
            return len(piece)
        ending = data[at : at + 2]
        if not b"\r\n".startswith(ending):
            raise Refused(400)
        if len(ending) < 2:
            return 0
        self._is_in_chunk = False
        return 2

    def _line(self, data: bytes, at: int) -> int:
        """Take a size or a trailer; returns bytes used."""
        limit = LINE_LIMIT if self._trailers < 0 else TRAILER_LIMIT - self._trailers
        end = data.find(b"\n", at, at + limit)
        if end < 0:
            if len(data) - at >= limit:
                raise Refused(400)
            return 0
        if end == at or data[end - 1] != 0x0D:  # a bare LF
            raise Refused(400)
        line = data[at : end - 1]
        if self._trailers < 0:
            self._begin_chunk(line)
        else:
            self._take_trailer(line)
        return end + 1 - at

    def _begin_chunk(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None:
            raise Refused(400)
        self._left = int(match[1], 16)
        if self._left:
            self._is_in_chunk = True
        else:
            self._trailers = 0

    def _take_trailer(self, line: bytes) -> None:
        """Trailers are dropped: nothing may be said after the body that counts for it."""
        if not line:
            self.is_over = True
        elif not _TRAILER.fullmatch(line):
            raise Refused(400)
        self._trailers += len(line) + 2
