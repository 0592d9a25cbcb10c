"""What waits between a connection and one run of the application."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

QUEUED_READS: Final = 1  # body events of up to 1 MiB; when it is full, the socket feels it


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
