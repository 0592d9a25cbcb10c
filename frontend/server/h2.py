"""A connection of HTTP/2: many requests at once, for whoever turned it on.

The `h2` package knows the protocol, Hypercorn's stream the application, and the wire its socket.
Hypercorn's own connection is not used: each of the ways to end a worker through it (hardening §1.1)
would have to be mended from outside. See docs/design/0008-tls-and-h2.md.
"""

import math
from contextlib import suppress
from typing import Final

import trio
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from frontend.server.connection import Worker
from frontend.server.exchange import Setting
from frontend.server.h2_exchange import H2Exchange
from frontend.server.h2_sending import Sending
from frontend.server.heads import HEAD_LIMIT, Fields, Refused, check_fields
from frontend.server.wire import Gone, Wire

MAX_STREAMS: Final = 32  # requests at once; each answer may hold a piece of 1 MiB
STREAM_WINDOW: Final = 256 << 10  # bytes of a body that nobody has taken yet
CONNECTION_WINDOW: Final = 1 << 20  # the same of all bodies together
READ: Final = 16 << 10  # bytes: a thousand frames at most before other connections have their turn
NOISE_BURST: Final = 1000  # frames that ask for nothing, at once
NOISE_RATE: Final = 100.0  # and a second

_NOISE: Final = (
    events.PingReceived,
    events.PriorityUpdated,
    events.RemoteSettingsChanged,
    events.SettingsAcknowledged,
    events.StreamReset,
    events.UnknownFrameReceived,
)


async def serve_h2(worker: Worker, setting: Setting, wire: Wire, first: bytes) -> None:
    """Serve a connection that speaks h2, from its `first` bytes to its end.

    Raises:
        Gone: or simply returns.
    """
    await _H2(worker, setting, wire).run(first)


class Noise:
    """How much a client has said that costs us and asks for nothing: resets, pings, settings."""

    def __init__(self, now: float) -> None:
        self._level = 0.0
        self._at = now

    def count(self, frames: int, now: float) -> bool:
        """Count; returns whether that is too much."""
        self._level = max(0.0, self._level - (now - self._at) * NOISE_RATE) + frames
        self._at = now
        return self._level > NOISE_BURST


class _H2:
    """One connection."""

    def __init__(self, worker: Worker, setting: Setting, wire: Wire) -> None:
        self._worker = worker
        self.setting = setting
        self._wire = wire
        self._connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.sending = Sending(self._connection, wire)
        self._exchanges: dict[int, H2Exchange] = {}
        self._noise = Noise(trio.current_time())
        self._reading = trio.CancelScope()
        self._idle_ends = trio.current_time() + worker.limits.idle_seconds
        self.stall_seconds = worker.limits.stall_seconds
        self.nursery: trio.Nursery

    # --- what `Deadlines` asks and says ---

    @property
    def deadline(self) -> float:
        """When this ends if nothing happens. Requests under way have limits of their own."""
        return math.inf if self._exchanges else self._idle_ends

    def expire(self) -> None:
        """End, because the deadline passed."""
        self._reading.cancel()

    def drain(self) -> None:
        """End as soon as nothing is under way."""
        if not self._exchanges:
            self._reading.cancel()

    # --- the connection's task ---

    async def run(self, first: bytes) -> None:
        """Serve until either side ends it."""
        self._begin()
        with self._worker.deadlines.watching(self):
            async with trio.open_nursery() as self.nursery:
                try:
                    with self._reading:
                        await self.sending.flush()
                        await self._read(first)
                    if self._reading.cancelled_caught:
                        self.sending.say_goodbye()
                except Gone:
                    pass
                self.sending.end()
                for exchange in list(self._exchanges.values()):
                    await exchange.leave()

    def _begin(self) -> None:
        said = {
            SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            SettingCodes.MAX_HEADER_LIST_SIZE: HEAD_LIMIT,
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
        }
        connection = self._connection
        connection.local_settings = Settings(client=False, initial_values=said)
        connection.initiate_connection()
        connection.increment_flow_control_window(CONNECTION_WINDOW - 65_535)
        # A client may open more before it has read ours. That ends a stream (`_start`), while h2
        # would end the connection, and with it the requests that keep to the rules.
        more = said | {SettingCodes.MAX_CONCURRENT_STREAMS: 1 << 20}
        connection.local_settings = Settings(client=False, initial_values=more)
        connection.decoder.max_header_list_size = HEAD_LIMIT

    async def _read(self, data: bytes) -> None:
        while True:
            try:
                found = self._connection.receive_data(data)
            except ProtocolError:  # it has a GOAWAY ready
                await self.sending.flush()
                return
            if not await self._take_all(found):
                self._connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
                await self.sending.flush()
                return
            await self.sending.flush()
            await trio.lowlevel.checkpoint()  # or a client that never stops would be the only one
            data = await self._wire.read(READ)
            if not data:
                return

    async def _take_all(self, found: list[events.Event]) -> bool:
        """Do what one read has brought; returns whether the connection is kept.

        Raises:
            Gone: the client ends it.
        """
        gone = {event.stream_id for event in found if isinstance(event, events.StreamReset)}
        noise = 0
        for event in found:
            noise += isinstance(event, _NOISE)
            match event:
                case events.RequestReceived() if event.stream_id not in gone:
                    noise += await self._start(event)
                case events.DataReceived():
                    noise += not event.data
                    await self._put(event)
                case events.StreamEnded() if exchange := self._exchanges.get(_number(event)):
                    await exchange.end()
                case events.StreamReset() if exchange := self._exchanges.get(_number(event)):
                    await exchange.leave()
                case events.ConnectionTerminated():
                    raise Gone
        self.sending.move()
        return not self._noise.count(noise, trio.current_time())

    # --- requests ---

    async def _start(self, event: events.RequestReceived) -> int:
        """Begin a request; returns 1 if it is not served."""
        number, is_ended = _number(event), event.stream_ended is not None
        if len(self._exchanges) >= MAX_STREAMS or self.setting.is_ending():
            self.sending.reset(number, ErrorCodes.REFUSED_STREAM)  # it may be asked elsewhere
            return 1
        try:
            method, target, fields = _request(event)
            is_awaited = check_fields(method, target, fields)
        except Refused as refused:
            self._refuse(number, refused.status, is_ended=is_ended)
            return 1
        if not is_ended and all(name != b"content-length" for name, _ in fields):
            fields.append((b"transfer-encoding", b"chunked"))  # so 1.1 says that a body comes
        exchange = self._exchanges[number] = H2Exchange(self, number)
        await exchange.begin(method.decode("ascii"), target, fields, is_awaited=is_awaited)
        return 0

    def _refuse(self, number: int, status: int, *, is_ended: bool) -> None:
        fields = [(b"content-length", b"0"), *self.setting.config.response_headers("h2")]
        self.sending.queue_head(number, status, fields, is_all=True)
        if not is_ended:
            self.sending.reset(number, ErrorCodes.NO_ERROR)

    async def _put(self, event: events.DataReceived) -> None:
        number, data = _number(event), event.data or b""
        exchange = self._exchanges.get(number)
        padding = (event.flow_controlled_length or 0) - len(data)
        self.free(number, padding if exchange else padding + len(data))
        if exchange:
            await exchange.put(data)

    def free(self, number: int, size: int) -> None:
        """Let the client send that many more bytes, with the next frames that go out."""
        if size:
            with suppress(ProtocolError):  # the connection is closed, and all windows with it
                self._connection.acknowledge_received_data(size, number)

    async def finish(self, number: int) -> None:
        """The application is done with a request."""
        del self._exchanges[number]
        if not self._exchanges:
            self._idle_ends = trio.current_time() + self._worker.limits.idle_seconds
            if self.setting.is_ending():
                self._reading.cancel()
        try:
            await self.sending.flush()
        except Gone:
            self._reading.cancel()


def _number(event: events.Event) -> int:
    number: int = event.stream_id  # type: ignore[attr-defined]  # of events that have one
    return number


def _request(event: events.RequestReceived) -> tuple[bytes, bytes, Fields]:
    """Method, target and fields, as HTTP/1.1 would have brought them."""
    asked: Fields = list(event.headers or ())
    pseudo = {name: value for name, value in asked if name.startswith(b":")}
    fields = [field for field in asked if not field[0].startswith(b":")]
    if b":authority" in pseudo:  # the same as a Host beside it: h2 sees to that
        fields = [field for field in fields if field[0] != b"host"]
        fields.insert(0, (b"host", pseudo[b":authority"]))
    return pseudo.get(b":method", b""), pseudo.get(b":path", b""), fields
