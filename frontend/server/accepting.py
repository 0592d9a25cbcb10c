"""Accepting on a socket that several processes share, so that each gets its part.

Every process is woken by a connection; the first one that looks takes it, and under a burst that is
the same one again and again. So whoever is ahead of the others waits a moment before it takes more.
"""

import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, Protocol

import trio

# Seconds that one who is ahead leaves to the others; the kernel's timers are no finer. When the
# others are stuck, we still take 1,000 connections a second.
PATIENCE: Final = 0.001
_OUT_OF_ROOM: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_ROOM_SECONDS: Final = 0.1  # until we look whether there is room again

_log = logging.getLogger("orlop.server")

Handler = Callable[[trio.SocketStream], Awaitable[None]]


class Turns(Protocol):
    """How many connections this process has, beside the others."""

    def is_ahead(self) -> bool:
        """Whether another process should take the next connection."""

    def enter(self) -> None:
        """One more."""

    def leave(self) -> None:
        """One less."""


async def serve_in_turn(
    handler: Handler, listener: trio.SocketListener, nursery: trio.Nursery, turns: Turns
) -> NoReturn:
    """Run `handler` in `nursery` for each connection that is ours to take, until cancelled.

    Closes `listener` then, as trio's own does.
    """

    async def handle(stream: trio.SocketStream) -> None:
        try:
            await handler(stream)
        finally:
            turns.leave()
            await trio.aclose_forcefully(stream)

    # A duplicate: trio's own sockets cannot be asked for what is there without waiting for more.
    with listener.socket, socket.socket(fileno=os.dup(listener.socket.fileno())) as shared:
        shared.setblocking(False)
        while True:
            await trio.lowlevel.wait_readable(shared)
            if turns.is_ahead():
                await trio.sleep(PATIENCE)
            accepted = await _accept(shared)
            if accepted is not None:
                turns.enter()
                stream = trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
                nursery.start_soon(handle, stream)


async def _accept(shared: socket.socket) -> socket.socket | None:
    """One connection; None when another process took it, or there is no room for it."""
    try:
        return shared.accept()[0]
    except (BlockingIOError, ConnectionAbortedError):
        return None
    except OSError as error:
        if error.errno not in _OUT_OF_ROOM:
            raise
        _log.error("connections wait: %s", error)
        await trio.sleep(_ROOM_SECONDS)
        return None
