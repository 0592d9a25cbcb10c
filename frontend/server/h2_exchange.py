"""One request of an h2 connection, answered by the application through Hypercorn's stream."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import trio
from h2.errors import ErrorCodes
from hypercorn.config import Config
from hypercorn.protocol.events import Body, EndBody, Event, Request, Response, StreamClosed
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.typing import AppWrapper

from frontend.server.exchange import Setting, run_app
from frontend.server.h2_sending import Pace, Sending
from frontend.server.wire import Gone

# They speak of a connection of HTTP/1.1, or are said here.
_DROPPED: Final = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"date"))
_BODILESS: Final = (204, 304)

_Send = Callable[[Any], Awaitable[None]]


class Mailbox:
    """The body of a request between the connection and the application.

    `put` never waits, or one upload would hold up all that the client says; what is here is bounded
    by the windows, which are opened again as the application takes it.
    """

    def __init__(
        self, ask: Callable[[], Awaitable[None]], free: Callable[[int], Awaitable[None]]
    ) -> None:
        """`ask` tells a client that waits that its body is wanted, `free` that bytes were taken."""
        self._ask = ask
        self._free = free
        self._data = bytearray()
        self._is_whole = False
        self._is_left = False  # the client is gone
        self._is_closed = False  # the application is
        self._arrived = trio.Event()

    async def put(self, event: Any) -> None:  # noqa: ANN401 - ASGI events are untyped
        """Take what Hypercorn's stream has for the application."""
        if event["type"] == "http.disconnect":
            self._is_left = True
        elif self._is_closed:
            await self._free(len(event["body"]))
        else:
            self._data += event["body"]
            self._is_whole = not event["more_body"]
        self._arrived.set()

    async def receive(self) -> Any:  # noqa: ANN401 - as above
        """The next event, as ASGI's receive: all that has come."""
        await self._ask()
        while not (self._data or self._is_whole or self._is_left):
            self._arrived = trio.Event()
            await self._arrived.wait()
        if not self._data and not self._is_whole:
            return {"type": "http.disconnect"}
        data, self._data = self._data, bytearray()
        is_whole = self._is_whole
        if is_whole:  # it is told once; then there is nothing but the client's leaving to tell
            self._is_whole = False
        await self._free(len(data))
        return {"type": "http.request", "body": bytes(data), "more_body": not is_whole}

    def close(self) -> None:
        """The application ended."""
        self._is_closed = True

    def drop(self) -> int:
        """Forget what nobody has read; returns how many bytes that is."""
        size = len(self._data)
        self._data.clear()
        return size


class Owner(Protocol):
    """The connection, as its requests see it."""

    setting: Setting
    sending: Sending
    nursery: trio.Nursery
    stall_seconds: float

    def free(self, number: int, size: int) -> None:
        """Bytes of a request's body are not kept any more: its client may send others."""

    async def finish(self, number: int) -> None:
        """The application is done with a request."""


class H2Exchange:
    """One request. `begin` it; what the client sends comes through the other methods."""

    def __init__(self, owner: Owner, number: int) -> None:
        setting = owner.setting
        self._owner = owner
        self._setting = setting
        self._sending = owner.sending
        self._number = number
        self._pace = Pace(owner.stall_seconds)
        self._mailbox = Mailbox(self._ask, self._free)
        self._is_awaited = False  # the client holds its body back until it is told
        self._is_read = False  # the client's body came to its end
        self._has_begun = False
        self._is_whole = False
        self._is_silent = False  # nobody takes the answer any more
        self._left: int | None = None  # bytes that the answer still promises
        self._method = ""
        self._stream = HTTPStream(
            setting.app,
            setting.config,
            setting.context,
            self,  # type: ignore[arg-type]  # of a task group it uses `spawn_app` alone
            setting.is_tls,
            setting.client,
            setting.server,
            self._take,
            number,
        )

    # --- from the client: the connection's task; nothing here waits ---

    async def begin(
        self, method: str, target: bytes, fields: list[tuple[bytes, bytes]], *, is_awaited: bool
    ) -> None:
        """Start the application on a sound request."""
        self._method, self._is_awaited = method, is_awaited
        state = self._setting.state
        await self._stream.handle(Request(self._number, fields, "2", method, target, state))

    async def put(self, data: bytes) -> None:
        """Bytes of its body came."""
        await self._stream.handle(Body(self._number, data))

    async def end(self) -> None:
        """The last of its body has come."""
        self._is_read = True
        await self._stream.handle(EndBody(self._number))

    async def leave(self) -> None:
        """The client takes nothing more, or sends nothing more."""
        self._is_silent = True
        await self._stream.handle(StreamClosed(self._number))

    async def spawn_app(
        self,
        app: AppWrapper,
        config: Config,
        scope: Any,  # noqa: ANN401 - ASGI's scope
        send: _Send,
    ) -> Callable[[Any], Awaitable[None]]:
        """Start the application; returns what feeds its `receive`. Hypercorn's stream calls it."""
        self._owner.nursery.start_soon(self._run, app, config, scope, send)
        return self._mailbox.put

    # --- to the client: the application's task ---

    async def _run(self, app: AppWrapper, config: Config, scope: Any, send: _Send) -> None:  # noqa: ANN401 - as above
        await run_app(app, config, scope, self._mailbox, send)
        self._owner.free(self._number, self._mailbox.drop())
        if not self._is_whole:
            self._sending.reset(self._number, ErrorCodes.INTERNAL_ERROR)
        elif not self._is_read:
            # Source: RFC 9113, 8.1: the answer is whole, and the rest of the body has no reader.
            self._sending.reset(self._number, ErrorCodes.NO_ERROR)
        await self._owner.finish(self._number)

    async def _ask(self) -> None:
        if self._is_awaited and not self._has_begun and not self._is_silent:
            self._is_awaited = False
            try:
                await self._sending.send_head(self._number, 100, ())
            except Gone:
                await self.leave()

    async def _free(self, size: int) -> None:
        self._owner.free(self._number, size)
        try:
            await self._sending.flush()  # a client whose windows are shut says nothing that would
        except Gone:
            await self.leave()

    async def _take(self, event: Event) -> None:
        """What Hypercorn's stream makes of the application's messages."""
        if isinstance(event, StreamClosed):
            await self._stream.handle(event)
        elif not self._is_silent:
            try:
                await self._send(event)
            except Gone:
                await self.leave()

    async def _send(self, event: Event) -> None:
        match event:
            case Response() if event.status_code >= 200:
                fields = [field for field in event.headers if field[0].lower() not in _DROPPED]
                said = {name.lower(): value for name, value in fields}.get(b"content-length")
                if said and self._method != "HEAD" and event.status_code not in _BODILESS:
                    self._left = int(said)
                self._has_begun = True
                fields += self._setting.config.response_headers("h2")
                await self._sending.send_head(self._number, event.status_code, fields)
            case Body():
                if self._left is not None:
                    self._left -= len(event.data)
                await self._sending.send_body(self._number, event.data, self._pace)
            case EndBody() if not self._left:  # shorter or longer than it said: it is never ended
                await self._sending.end_body(self._number)
                self._is_whole = True
