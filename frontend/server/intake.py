"""A body that the application may have moved from the socket to a file, unseen by this process.

Offered with a body of a known length on a plain socket. It lasts while the bytes come fast: a slow
client is read as any other, and so is what needs a decision (its leaving, above all).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import trio

from frontend.server.receiver import Receiver
from frontend.server.wire import Wire

EXTENSION: Final = "orlop.intake"  # in scope["extensions"], when it is offered
LEAST: Final = 4 << 20  # bytes of a body: with less, little is gained
# Bytes that are worth a hop to a thread. The system wakes us when they are here.
WORTH: Final = 256 << 10
LULL_SECONDS: Final = 1.0  # without them, after which a client counts as slow
SHARE: Final = 4 << 20  # bytes taken at once, as much as is hashed at once


class Intake:
    """The body of one request. The connection reads nothing of it before it is `released`."""

    def __init__(self, wire: Wire, receiver: Receiver, ask: Callable[[], Awaitable[None]]) -> None:
        """`ask` tells a client that waits for it that its body is wanted."""
        self._wire = wire
        self._receiver = receiver
        self._ask = ask
        self._released = trio.Event()
        self.taken = 0  # bytes that did not come as events

    def fileno(self) -> int:
        """The socket, as `cas.verbs.Peer`."""
        return self._wire.fileno()

    def release(self) -> None:
        """An event was asked for: the rest comes as events."""
        self._released.set()

    async def wait_released(self) -> None:
        """Wait until the connection may read."""
        await self._released.wait()

    async def begin(self) -> bytes:
        """Have the body, before any event and until the next one is asked for.

        Returns what was read with the head.
        """
        await self._ask()
        held = self._receiver.next_data() or b""
        self.taken += len(held)
        return held

    async def wait_arrived(self) -> int:
        """Wait for much of the body, or its end; returns how much may be taken, 0 to read on."""
        left = self._receiver.left
        if left and await self._wire.wait_arrived(min(left, WORTH), LULL_SECONDS):
            return min(left, SHARE)
        return 0

    def took(self, count: int) -> None:
        """So many bytes of the body are gone from the socket."""
        self._receiver.skip(count)
        self.taken += count


def intake_of(scope: Mapping[str, Any]) -> Intake | None:
    """What the server offers with a request, if it does."""
    found: Intake | None = scope.get("extensions", {}).get(EXTENSION)
    return found
