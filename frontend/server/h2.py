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
from frontend.server.h2_frames import ALLOWED, WORTH, Frames, Noise
from frontend.server.h2_sending import Sending
from frontend.server.heads import HEAD_LIMIT, Fields, Refused, check_fields
from frontend.server.wire import Gone, Wire

MAX_STREAMS: Final = 32  # requests at once; each answer may hold a piece of 256 KiB
STREAM_WINDOW: Final = 256 << 10  # bytes of a body that nobody has taken yet
CONNECTION_WINDOW: Final = 1 << 20  # the same of all bodies together
READ: Final = 16 << 10  # bytes
TURN: Final = 64  # frames before other connections have their turn: 1 ms
# Bytes of what we encode answers' fields with, however much a client offers to keep: the package
# looks through all of it for each field.
HEADER_TABLE: Final = 4096


async def serve_h2(worker: Worker, setting: Setting, wire: Wire, first: bytes) -> None:
    """Serve a connection that speaks h2, from its `first` bytes to its end.

    Raises:
        Gone: or simply returns.
    """
    await _H2(worker, setting, wire).run(first)


class _H2:
    """One connection."""

    def __init__(self, worker: Worker, setting: Setting, wire: Wire) -> None:
        self._worker = worker
        self.setting = setting
        self._wire = wire
        self._connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.sending = Sending(self._connection, wire)
        self._exchanges: dict[int, H2Exchange] = {}
        self._frames = Frames()
        self._noise = Noise(trio.current_time())
        self._reading = trio.CancelScope()
        patience = 0.0 if setting.is_ending() else worker.limits.idle_seconds
        self._idle_ends = trio.current_time() + patience
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
        while await self._receive(data):
            data = await self._wire.read(READ)
            if not data:
                return

    async def _receive(self, data: bytes) -> bool:
        """Do what one read has brought, in turns; returns whether the connection is kept.

        Raises:
            Gone: the client ends it.
        """
        at = 0
        while at < len(data):
            end, frames = self._frames.cut(data, at, TURN)
            try:
                found = self._connection.receive_data(data[at:end])
            except ProtocolError:  # it has a GOAWAY ready
                await self.sending.flush()
                return False
            noise = frames - await self._take_all(found) - ALLOWED * self.sending.take_framed()
            is_kept = not self._noise.count(noise, trio.current_time())
            if not is_kept:
                self._connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            await self.sending.flush()
            if not is_kept:
                return False
            await trio.lowlevel.checkpoint()  # or a client that never stops would be the only one
            at = end
        return True

    async def _take_all(self, found: list[events.Event]) -> float:
        """Do what a turn has brought; returns how many frames were worth their while.

        Raises:
            Gone: the client ends it.
        """
        gone = {event.stream_id for event in found if isinstance(event, events.StreamReset)}
        worth = 0.0
        for event in found:
            match event:
                case events.RequestReceived() if event.stream_id not in gone:
                    worth += await self._start(event)
                case events.DataReceived():
                    worth += len(event.data or b"") / WORTH
                    await self._put(event)
                case events.StreamEnded() if exchange := self._exchanges.get(_number(event)):
                    await exchange.end()
                case events.StreamReset() if exchange := self._exchanges.get(_number(event)):
                    await exchange.leave()
                case events.ConnectionTerminated():
                    raise Gone
                case events.RemoteSettingsChanged():
                    encoder = self._connection.encoder
                    encoder.header_table_size = min(encoder.header_table_size, HEADER_TABLE)
        self.sending.move()
        return worth

    # --- requests ---

    async def _start(self, event: events.RequestReceived) -> bool:
        """Begin a request; returns whether it is served."""
        number, is_ended = _number(event), event.stream_ended is not None
        if len(self._exchanges) >= MAX_STREAMS or self.setting.is_ending():
            self.sending.reset(number, ErrorCodes.REFUSED_STREAM)  # it may be asked elsewhere
            return False
        try:
            method, target, fields = _request(event)
            is_awaited = check_fields(method, target, fields)
        except Refused as refused:
            self._refuse(number, refused.status, is_ended=is_ended)
            return False
        if not is_ended and all(name != b"content-length" for name, _ in fields):
            fields.append((b"transfer-encoding", b"chunked"))  # so 1.1 says that a body comes
        exchange = self._exchanges[number] = H2Exchange(self, number)
        await exchange.begin(method.decode("ascii"), target, fields, is_awaited=is_awaited)
        return True

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
