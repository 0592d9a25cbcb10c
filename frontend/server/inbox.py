"""What waits between a connection and one run of the application."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import trio
from hypercorn.config import Config
from hypercorn.trio.task_group import TaskGroup, _handle
from hypercorn.typing import AppWrapper

if TYPE_CHECKING:
    from frontend.server.http1 import Http1

QUEUED_READS: Final = 4  # body events of 256 KiB; when they are full, the socket feels it


class Inbox:
    """What waits between the socket and one run of the application; neither side can be stuck.

    Hypercorn's own channel blocks its `put` for ever once the application left without reading.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        """`ask` tells a client that waits for it that its body is wanted."""
        self._ask = ask
        self._send, self._receive = trio.open_memory_channel[Any](QUEUED_READS)

    async def put(self, event: Any) -> None:  # noqa: ANN401 - ASGI events are untyped
        """Wait for room; nothing waits once either side is done. A disconnect overtakes nothing."""
        if event["type"] == "http.disconnect":
            self._send.close()
            return
        try:
            await self._send.send(event)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the application left, or the connection: the bytes have no reader

    async def receive(self) -> Any:  # noqa: ANN401 - as above
        """The next event, as ASGI's receive."""
        await self._ask()
        try:
            return await self._receive.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            return {"type": "http.disconnect"}

    def close(self) -> None:
        """The application ended: what it left unread is dropped."""
        self._receive.close()


class Tasks(TaskGroup):
    """Hypercorn's task group with our inbox as its seam."""

    protocol: "Http1"  # set before anything is read

    async def spawn_app(
        self,
        app: AppWrapper,
        config: Config,
        scope: Any,  # noqa: ANN401 - ASGI's scope
        send: Callable[[Any], Awaitable[None]],
    ) -> Callable[[Any], Awaitable[None]]:
        """Start the application for one request; returns what feeds its `receive`."""
        inbox = Inbox(self.protocol.send_continue)
        self.spawn(_run_app, app, config, scope, inbox, send)
        return inbox.put


async def _run_app(
    app: AppWrapper,
    config: Config,
    scope: Any,  # noqa: ANN401 - ASGI's scope
    inbox: Inbox,
    send: Callable[[Any], Awaitable[None]],
) -> None:
    async def send_or_close(message: Any) -> None:  # noqa: ANN401 - ASGI's message
        if message is None:
            inbox.close()  # before Hypercorn's last words, which would wait for a reader
        await send(message)

    await _handle(
        app, config, scope, inbox.receive, send_or_close, trio.to_thread.run_sync, _no_callback
    )


def _no_callback(*_: object) -> None:
    """WSGI's way back from its thread; we serve no WSGI."""
