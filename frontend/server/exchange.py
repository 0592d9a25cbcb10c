"""One request answered by the application, through Hypercorn's stream.

Two tasks: the connection's own pumps what the client sends, the application's sends the answer.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import trio
from hypercorn.config import Config
from hypercorn.protocol.events import Body, EndBody, Event, Request, Response, StreamClosed
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.task_group import _handle
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState

from frontend.domain.message import Slice
from frontend.server.answers import CONTINUE, AnswerBroken, Framer
from frontend.server.heads import Head, Refused
from frontend.server.inbox import Inbox
from frontend.server.intake import EXTENSION as INTAKE, LEAST, Intake
from frontend.server.outlet import EXTENSION as OUTLET
from frontend.server.receiver import END, Receiver
from frontend.server.sending import send_parts
from frontend.server.wire import Gone, Wire

# Bytes a read. Each read's way to the application costs some 60 µs: with 256 KiB a push was 10 %
# slower. What has not come yet takes no memory.
BODY_READ: Final = 1 << 20
AHEAD_READ: Final = 8 << 10  # bytes of later requests that are taken while one is answered


class Receiving(Protocol):
    """What waits for the application."""

    async def receive(self) -> Any:  # noqa: ANN401 - ASGI events are untyped
        """The next event, as ASGI's receive."""

    def close(self) -> None:
        """The application ended."""


_STREAM: Final = 1  # HTTP/1.1 has one at a time
_Send = Callable[[Any], Awaitable[None]]
Address = tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class Setting:
    """What the requests of one connection share."""

    app: AppWrapper
    config: Config
    context: WorkerContext
    state: ConnectionState
    client: Address
    server: Address
    is_ending: Callable[[], bool]  # whether connections end after the request under way
    is_tls: bool = False


class Exchange:
    """One request; `run` it once."""

    def __init__(self, setting: Setting, wire: Wire, receiver: Receiver, head: Head) -> None:
        self._setting = setting
        self._wire = wire
        self._receiver = receiver
        self._head = head
        self._framer = Framer(head)
        self._pumping = trio.CancelScope()
        self._intake: Intake | None = None
        if wire.has_sendfile and head.length is not None and head.length >= LEAST:
            self._intake = Intake(wire, receiver, self._ask)
        self._is_asked = not head.is_continue_awaited
        self._is_read = False  # the client's body came to its end
        self._is_silent = False  # nothing of the application's is sent any more
        self._refused: Refused | None = None
        self._nursery: trio.Nursery
        self._stream = HTTPStream(
            setting.app,
            setting.config,
            setting.context,
            self,  # type: ignore[arg-type]  # of a task group it uses `spawn_app` alone
            setting.is_tls,
            setting.client,
            setting.server,
            self._take,
            _STREAM,
        )

    async def run(self) -> bool:
        """Answer the request; returns whether the connection can take another one.

        Raises:
            Refused: its body is not framed as it must be, and nothing was answered yet.
            AnswerBroken: the answer is not whole: the connection must be aborted.
        """
        head = self._head
        async with trio.open_nursery() as self._nursery:
            await self._stream.handle(
                Request(
                    stream_id=_STREAM,
                    headers=head.fields,
                    http_version=head.version,
                    method=head.method,
                    raw_path=head.target,
                    state=self._setting.state,
                )
            )
            with self._pumping:
                await self._pump()
        if self._refused is not None and not self._framer.has_begun:
            raise self._refused
        if self._framer.has_begun and not self._framer.is_whole:
            looks_whole = self._framer.ends_with_connection
            raise AnswerBroken("an answer was left unfinished", looks_whole=looks_whole)
        return self._is_read and not self._is_silent and not self._framer.is_last

    async def spawn_app(
        self,
        app: AppWrapper,
        config: Config,
        scope: Any,  # noqa: ANN401 - ASGI's scope
        send: _Send,
    ) -> Callable[[Any], Awaitable[None]]:
        """Start the application; returns what feeds its `receive`. Hypercorn's stream calls it."""
        inbox = Inbox(self._ask_for_events)
        if self._intake is not None:
            scope["extensions"][INTAKE] = self._intake
        if self._wire.has_sendfile:
            scope["extensions"][OUTLET] = self._send_slice
        self._nursery.start_soon(run_app, app, config, scope, inbox, send)
        return inbox.put

    # --- from the client: the connection's task ---

    async def _pump(self) -> None:
        """Give the body to the application as it takes it, then watch whether the client leaves."""
        try:
            if self._intake is not None:
                await self._intake.wait_released()
            while (data := self._receiver.next_data()) != END:
                if data:
                    await self._stream.handle(Body(stream_id=_STREAM, data=data))
                elif not await self._read(BODY_READ):
                    await self._leave()
                    return
        except Refused as refused:
            self._refused = refused
            self._is_silent = not self._framer.has_begun  # an answer under way is finished
            await self._leave()
            return
        self._is_read = True
        await self._stream.handle(EndBody(stream_id=_STREAM))
        while self._receiver.held < AHEAD_READ:
            if not await self._read(AHEAD_READ):
                await self._leave()
                return

    async def _read(self, size: int) -> bool:
        data = await self._wire.read(size)
        self._receiver.feed(data)
        return bool(data)

    async def _leave(self) -> None:
        """Tell the application that no more comes. It may still answer: some close one side."""
        await self._stream.handle(StreamClosed(stream_id=_STREAM))

    # --- to the client: the application's task ---

    async def _ask_for_events(self) -> None:
        if self._intake is not None:
            self._intake.release()
        await self._ask()

    async def _ask(self) -> None:
        if not self._is_asked and not self._framer.has_begun:
            self._is_asked = True
            await self._send(CONTINUE)

    async def _take(self, event: Event) -> None:
        """What Hypercorn's stream makes of the application's messages."""
        match event:
            case StreamClosed():
                self._pumping.cancel()
                await self._leave()
            case _ if self._is_silent and not self._framer.has_begun:
                pass  # the connection refuses the request instead
            case Response() if event.status_code >= 200:
                is_last = self._setting.is_ending()
                self._framer.begin(event.status_code, event.headers, is_last=is_last)
            case Body():
                await self._send(*self._framer.body(event.data))
            case EndBody():
                await self._send(*self._framer.end())

    async def _send_slice(self, part: Slice) -> None:
        """See `outlet`."""
        if self._is_silent:
            return
        try:
            await send_parts(self._wire, self._framer.passed(len(part)), [part])
        except Gone:
            self._is_silent = True
            await self._leave()

    async def _send(self, *parts: bytes) -> None:
        if self._is_silent:
            return
        try:
            await self._wire.send(*parts)
        except Gone:
            self._is_silent = True
            await self._leave()


async def run_app(
    app: AppWrapper,
    config: Config,
    scope: Any,  # noqa: ANN401 - ASGI's scope
    inbox: Receiving,
    send: _Send,
) -> None:
    """Run the application for one request; what it raises is logged, and ends its answer."""

    async def send_or_close(message: Any) -> None:  # noqa: ANN401 - ASGI's message
        if message is None:
            inbox.close()  # before Hypercorn's last words, which would wait for a reader
        await send(message)

    await _handle(
        app, config, scope, inbox.receive, send_or_close, trio.to_thread.run_sync, _no_callback
    )


def _no_callback(*_: object) -> None:
    """WSGI's way back from its thread; we serve no WSGI."""
