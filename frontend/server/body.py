"""A request's body, read from the raw ASGI `receive` as fast as it is used and never faster.

Ahead of Quart's body, which buffers without limit (hardening §1.4). What waits in memory is one
block here and a few reads in the connection.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import trio

from frontend.domain.faults import BodyTooSlow, SizeInvalid, TooLarge
from frontend.server.intake import Intake
from frontend.settings import Http

Receive = Callable[[], Awaitable[Any]]  # ASGI's; its events are untyped dictionaries

BLOCK = 2 << 20  # bytes: a thread hop costs 150 to 1,000 µs under load; an append gets this much
_JOINED = 64 << 10  # bytes: a piece that is smaller is cheaper copied than kept apart
RATE_AFTER = 10.0  # seconds of waiting for the client before the minimum rate counts
DRAIN_LIMIT = 8 << 20  # bytes of a body nobody wants, read so that the client sees our answer
DRAIN_SECONDS = 5.0


Block = list[bytes | bytearray]  # in order; no piece is empty


@dataclass(eq=False)
class ClientGone(Exception):
    """The client left before the end of its body; there is nobody to answer."""

    received: int

    def __str__(self) -> str:
        return f"the client left after {self.received} bytes of its body"


class Body:
    """The bytes of one request, to be read once.

    `content_length` is None when the client did not say (chunked transfer). `received` counts.
    `is_held_back` says that the client waits to be asked: the first read does that.
    """

    def __init__(
        self,
        receive: Receive,
        headers: Mapping[str, str],
        limits: Http,
        intake: Intake | None = None,
    ) -> None:
        """`headers` have lower-case names. What `intake` took is not read here."""
        self._receive = receive
        self._limits = limits
        self._waited = 0.0  # seconds spent waiting for the client, not for the store
        self._is_complete = False
        self._failure: SizeInvalid | BodyTooSlow | ClientGone | None = None
        self._read = 0  # bytes
        self.intake = intake
        self.is_held_back = headers.get("expect", "").lower() == "100-continue"
        self.content_length = _content_length(headers)
        if self.content_length is None and "transfer-encoding" not in headers:
            self.content_length = 0  # RFC 9112, 6.3: a request without either has no body

    @property
    def received(self) -> int:
        """Bytes that came so far."""
        return self._read + (self.intake.taken if self.intake is not None else 0)

    @property
    def is_read(self) -> bool:
        """Nothing of it is left on the connection."""
        return self._is_complete or self.content_length == 0

    async def read_block(self) -> Block:
        """The next block, at least `BLOCK` bytes; shorter at the end, then empty.

        What came before an error is returned before the error is raised: it may be staged.

        Raises:
            SizeInvalid, BodyTooSlow, ClientGone
        """
        block: Block = []
        size = 0
        while size < BLOCK and not self._is_complete and self._failure is None:
            try:
                piece = await self._next()
                size += len(piece)
                _add(block, piece)
            except (SizeInvalid, BodyTooSlow, ClientGone) as error:
                self._failure = error
        if self._failure is not None and not block:
            raise self._failure
        return block

    async def read_all(self, limit: int) -> bytes:
        """The whole body, if it has at most `limit` bytes; more than that is never held.

        Raises:
            TooLarge, SizeInvalid, BodyTooSlow, ClientGone
        """
        if self.content_length is not None and self.content_length > limit:
            raise TooLarge(limit)
        content = bytearray()
        while not self._is_complete:
            content += await self._next()
            if len(content) > limit:
                raise TooLarge(limit)
        return bytes(content)

    async def drain(self) -> None:
        """Throw away what is left, within limits: a client that still sends may not see an answer.

        Never raises: the answer is on its way, and a client that left does not need it.
        """
        dropped = 0
        with trio.move_on_after(DRAIN_SECONDS):
            while not self.is_read and self._failure is None and dropped < DRAIN_LIMIT:
                event = await self._receive()
                if event["type"] != "http.request":
                    return
                dropped += len(event.get("body", b""))
                self._is_complete = not event.get("more_body", False)

    async def _next(self) -> bytes:
        started = trio.current_time()
        with trio.move_on_after(self._patience()) as patience:
            event = await self._receive()
        self._waited += trio.current_time() - started
        if patience.cancelled_caught:
            raise BodyTooSlow()
        if event["type"] != "http.request":
            raise ClientGone(self.received)
        data: bytes = event.get("body", b"")
        self._read += len(data)
        self._is_complete = not event.get("more_body", False)
        if self._is_complete and self.content_length not in (None, self.received):
            raise SizeInvalid(self.content_length or 0, self.received)
        return data

    def _patience(self) -> float:
        """How long the next bytes may take."""
        rate = self._limits.min_body_rate
        if not rate:
            return self._limits.stall_seconds
        owed = RATE_AFTER + self.received / rate - self._waited
        return max(0.0, min(self._limits.stall_seconds, owed))


class Prefetch:
    """Reads the next block while the last one is used: one waits, one is being filled.

    What arrived before an error is given first; `check` raises the error afterwards.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._failure: SizeInvalid | BodyTooSlow | ClientGone | None = None
        self._send, self.receive = trio.open_memory_channel[Block](0)

    async def run(self) -> None:
        """Read to the end of the body; to be started in the nursery of the one who receives."""
        async with self._send:
            try:
                while block := await self._body.read_block():
                    await self._send.send(block)
            except (SizeInvalid, BodyTooSlow, ClientGone) as error:
                self._failure = error

    def check(self) -> None:
        """Raise what ended the body early, if anything did."""
        if self._failure is not None:
            raise self._failure


def _add(block: Block, piece: bytes) -> None:
    """Add what came: small pieces are joined, so that there are few; large ones are not copied."""
    last = block[-1] if block else b""
    if isinstance(last, bytearray) and len(last) < _JOINED:
        last += piece
    elif piece:
        block.append(piece if len(piece) >= _JOINED else bytearray(piece))


def _content_length(headers: Mapping[str, str]) -> int | None:
    # The server's parser has refused every other form: it needs the number for its framing, and
    # reads 20 digits of it at most.
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None
