"""The bytes of a connection, cut into heads and bodies, one after the other. Pure.

It gives out no more than it is asked for: what a client sends ahead waits here unparsed, and the
connection reads no more of it.
"""

from typing import Final

from frontend.server.chunked import Chunked
from frontend.server.heads import HEAD_LIMIT, Head, check_beginning, parse_head

END: Final = b""  # of a body


class Receiver:
    """`feed` what was read; `next_block`, `open` it, `next_data` until `END`, and again.

    A request without a body needs no `open`.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._seen = 0  # bytes of a partial head that were looked at
        self._left = 0  # bytes of the body, when it has a length
        self._chunked: Chunked | None = None

    @property
    def held(self) -> int:
        """Bytes that wait."""
        return len(self._rest)

    @property
    def left(self) -> int:
        """Bytes of the body that nobody had yet, when it has a length."""
        return self._left

    def skip(self, count: int) -> None:
        """The next `count` bytes of the body went another way: they are not fed.

        Raises:
            ValueError: the body is shorter. What follows could be taken for a request.
        """
        if not 0 <= count <= self._left:
            raise ValueError(f"{count} bytes of a body that has {self._left} left")
        self._left -= count

    def feed(self, data: bytes) -> None:
        """Add what was read."""
        self._rest = self._rest + data if self._rest else data

    def next_block(self) -> bytes | None:
        """The bytes of the next request's head; None until all of it is here.

        Raises:
            Refused: the connection must answer and close.
        """
        if not self._seen and self._rest[:2] == b"\r\n":
            self._rest = self._rest[2:]  # RFC 9112, 2.2: one empty line before a head is ignored
        rest = self._rest
        if not rest:
            return None
        end = rest.find(b"\r\n\r\n", max(self._seen - 3, 0), HEAD_LIMIT)
        if end < 0:
            if rest != b"\r":
                check_beginning(rest, self._seen)
                self._seen = len(rest)
            return None
        end += 4
        self._seen = 0
        self._left = 0
        self._chunked = None
        if end == len(rest):
            self._rest = b""
            return rest
        self._rest = rest[end:]
        return rest[:end]

    def open(self, block: bytes) -> Head:
        """The head that `next_block` gave, parsed; its body follows.

        Raises:
            Refused: as `next_block`.
        """
        head = parse_head(block)
        self._left = head.length or 0
        self._chunked = Chunked() if head.length is None else None
        return head

    def next_data(self) -> bytes | None:
        """The next bytes of the body, `END` behind the last of them; None until more is here.

        Raises:
            Refused: the body is not framed as it must be.
        """
        if self._chunked is not None:
            return self._next_chunked(self._chunked)
        if not self._left:
            return END
        rest = self._rest
        if len(rest) <= self._left:
            piece, self._rest = rest, b""
        else:
            piece, self._rest = rest[: self._left], rest[self._left :]
        self._left -= len(piece)
        return piece or None

    def _next_chunked(self, chunked: Chunked) -> bytes | None:
        if self._rest and not chunked.is_over:
            content, self._rest = chunked.decode(self._rest)
            if content:
                return content
        return END if chunked.is_over else None
