"""One HTTP/1.1 connection: requests one after the other; heads by h11, bodies past it.

h11 reads heads and chunks. A body of known length goes from the socket into the reader's memory.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import h11
import trio

from frontend.upstream.wire import WIDE, Plain, Wire

MAX_HEAD: Final = 64 << 10  # bytes of an answer's head
MAX_FIELDS: Final = 256
MAX_INTERIM: Final = 8  # 1xx answers before the one that counts
_HEAD_READ: Final = 16 << 10  # bytes; what of it is body is copied once more

# Of a body that is moved past this process: bytes worth a hop to a thread, how long they are waited
# for, and how many are taken at once.
WORTH: Final = 256 << 10
LULL_SECONDS: Final = 0.02
SHARE: Final = 4 << 20

Fields = Sequence[tuple[str, str]]
# Takes at most so many bytes that wait in a socket, without waiting itself; returns how many.
Take = Callable[[trio.socket.SocketType, int], Awaitable[int]]


class ConnectionBroken(Exception):
    """The connection ended, or what came is no HTTP; the text says which. It cannot be used again.

    `is_unanswered`: not one byte of an answer came.
    """

    def __init__(self, why: str, *, is_unanswered: bool = False) -> None:
        super().__init__(why)
        self.is_unanswered = is_unanswered


@dataclass(frozen=True, slots=True)
class Head:
    """A status and its fields: lower-case names, several of one name joined with ", "."""

    status: int
    fields: dict[str, str]


class _Framing(Enum):
    """What ends a body."""

    NOTHING = auto()  # there is none
    LENGTH = auto()
    CHUNKS = auto()
    CLOSE = auto()


class Connection:
    """A wire between requests, or within one."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._framing = _Framing.NOTHING
        self._remaining = 0  # bytes, with a length
        self._received = 0
        self._ahead = memoryview(b"")  # body bytes that came with the head or a chunk
        self._scratch = bytearray()  # for chunks, once there are any
        self._is_kept = False
        self._is_done = False
        self._parser = h11.Connection(h11.CLIENT)

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent: this answer came whole, and nothing behind it."""
        if not (self._is_done and self._is_kept) or self._ahead:
            return False
        return self._framing is not _Framing.CHUNKS or not self._parser.trailing_data[0]

    async def ask(self, method: str, target: str, fields: Fields, content: bytes = b"") -> Head:
        """Send a request and wait for the head of its answer.

        Raises:
            ConnectionBroken: there will be none.
        """
        self._is_done = False
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        request = h11.Request(method=method, target=target, headers=list(fields))
        data = [self._parser.send(request)]
        if content:
            data.append(self._parser.send(h11.Data(data=content)))
        data.append(self._parser.send(h11.EndOfMessage()))
        with suppress(OSError, trio.BrokenResourceError):  # it may have answered before it closed
            await self.wire.send_all(b"".join(part for part in data if part))
        response = await self._wait_response()
        return self._begin_body(method, response)

    async def receive_into(self, view: memoryview) -> int:
        """Receive body bytes, as they come; 0: that was all of them.

        Raises:
            ConnectionBroken: the body ends too early, or its chunks are none.
        """
        if self._is_done:
            return 0
        if not self._ahead:
            count = await self._receive_more(view)
        else:
            count = min(len(self._ahead), len(view))
            view[:count] = self._ahead[:count]
            self._ahead = self._ahead[count:]
        self._received += count
        self._remaining -= count
        if self._framing is _Framing.LENGTH:
            self._is_done = self._remaining == 0
        return count

    async def move(self, take: Take) -> int | None:
        """Have body bytes taken from the socket itself, past this process.

        Returns how many were; 0: the next ones have to be received, or there are none; None: it is
        no body of a known length on a plain socket, so all of it has to be.

        Raises:
            Whatever `take` raises.
        """
        wire = self.wire
        if self._framing is not _Framing.LENGTH or not isinstance(wire, Plain):
            return None
        if self._is_done or self._ahead or self._remaining < WORTH:
            return 0
        await wire.wait_arrived(WORTH, LULL_SECONDS)
        count = await take(wire.socket, min(self._remaining, SHARE))
        self._received += count
        self._remaining -= count
        self._is_done = self._remaining == 0
        return count

    async def aclose(self) -> None:
        """Close; what was not read is lost."""
        self._is_kept = False
        await self.wire.aclose()

    async def _wait_response(self) -> h11.Response:
        interim, is_begun = 0, False
        scratch = memoryview(bytearray(_HEAD_READ))
        while True:
            event = self._next_event()
            if event is h11.NEED_DATA:
                count = await self._receive(scratch, is_unanswered=not is_begun)
                is_begun = is_begun or count > 0
                if not count:
                    raise ConnectionBroken(
                        "it closed without an answer", is_unanswered=not is_begun
                    )
                self._parser.receive_data(bytes(scratch[:count]))
            elif isinstance(event, h11.Response):
                return event
            elif isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                interim += 1
                if interim > MAX_INTERIM:
                    raise ConnectionBroken("interim answers without end")
            else:
                raise ConnectionBroken("an answer to another question")

    def _begin_body(self, method: str, response: h11.Response) -> Head:
        raw = [(name.decode("ascii"), value.decode("latin-1")) for name, value in response.headers]
        if len(raw) > MAX_FIELDS:
            raise ConnectionBroken("too many fields in the head")
        fields: dict[str, str] = {}
        for name, value in raw:
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        if "transfer-encoding" in fields and "content-length" in fields:
            raise ConnectionBroken("two lengths of one body")  # RFC 9112, 6.3
        self._framing, self._remaining = _framing(method, response.status_code, fields)
        self._received = 0
        words = [word.strip().lower() for word in fields.get("connection", "").split(",")]
        self._is_kept = response.http_version >= b"1.1" and "close" not in words
        self._ahead = memoryview(b"")
        if self._framing is not _Framing.CHUNKS:
            self._ahead = memoryview(self._parser.trailing_data[0])
        if self._framing is _Framing.LENGTH and len(self._ahead) > self._remaining:
            self._ahead, self._is_kept = self._ahead[: self._remaining], False
        self._is_done = self._framing is _Framing.NOTHING or (
            self._framing is _Framing.LENGTH and self._remaining == 0
        )
        return Head(response.status_code, fields)

    async def _receive_more(self, view: memoryview) -> int:
        if self._framing is _Framing.CHUNKS:
            return await self._receive_chunk(view)
        limit = self._remaining if self._framing is _Framing.LENGTH else len(view)
        count = await self._receive(view[:limit])
        if count == 0 and self._framing is _Framing.LENGTH:
            total = self._received + self._remaining
            raise ConnectionBroken(f"the body ended after {self._received} of {total} bytes")
        self._is_done = count == 0
        return count

    async def _receive_chunk(self, view: memoryview) -> int:
        if not self._scratch:
            self._scratch = bytearray(WIDE)
        while True:
            event = self._next_event()
            if event is h11.NEED_DATA:
                count = await self._receive(memoryview(self._scratch))
                self._parser.receive_data(bytes(memoryview(self._scratch)[:count]))
            elif isinstance(event, h11.Data):
                count = min(len(view), len(event.data))
                view[:count] = event.data[:count]
                self._ahead = memoryview(event.data)[count:]
                return count
            else:
                self._is_done = True
                return 0

    def _next_event(self) -> object:
        try:
            return self._parser.next_event()
        except h11.RemoteProtocolError as error:
            raise ConnectionBroken(str(error)) from None

    async def _receive(self, view: memoryview, *, is_unanswered: bool = False) -> int:
        try:
            return await self.wire.receive_into(view)
        except (OSError, trio.BrokenResourceError) as error:
            why = getattr(error, "strerror", None) or "the connection broke"
            raise ConnectionBroken(why, is_unanswered=is_unanswered) from None


def _framing(method: str, status: int, fields: dict[str, str]) -> tuple[_Framing, int]:
    """What ends the body (RFC 9112, 6.3), and its length where that is it."""
    if method == "HEAD" or status in (204, 304) or (method == "CONNECT" and status < 300):
        return _Framing.NOTHING, 0
    if "transfer-encoding" in fields:
        return _Framing.CHUNKS, 0
    if "content-length" in fields:
        return _Framing.LENGTH, int(fields["content-length"])  # h11 has seen to it
    return _Framing.CLOSE, 0
