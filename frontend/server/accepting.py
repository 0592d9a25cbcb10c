"""Accepting connections: also while there are more of them than descriptors, and in turn.

trio's own loop logs a traceback for each of its ten tries a second, and ends the server when a
connection failed before it was accepted. It takes one connection each time the loop goes round, and
in a round all others send as much as they may: of 64 that came at once for a large blob, the last
one waited 400 ms for what the first one had after 20. So all that are there are taken at once.

Of several processes that share a socket every one is woken by a connection; the first one that
looks takes it, and under a burst that is the same one again and again. So whoever is ahead of the
others waits a moment before it takes one more.
"""

import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NoReturn, Protocol

import trio

REST: Final = 0.1  # seconds until the next try: ten a second are no load, and nobody waits long
QUIET: Final = 60.0  # seconds between two lines about it
# Seconds that one who is ahead leaves to the others; the kernel's timers are no finer. When the
# others are stuck, we still take 1,000 connections a second.
PATIENCE: Final = 0.001
BURST: Final = 64  # connections taken at once, before the others have their turn

_SHORT: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
# Source: accept(2): what happened to the connection meanwhile is told by the call that accepts it.
_LOST: Final = frozenset(
    (
        errno.ECONNABORTED, errno.ENETDOWN, errno.EPROTO, errno.ENOPROTOOPT, errno.EHOSTDOWN,
        errno.ENONET, errno.EHOSTUNREACH, errno.EOPNOTSUPP, errno.ENETUNREACH, errno.EPERM,
    )
)  # fmt: skip

_log = logging.getLogger("orlop.server")

Handler = Callable[[trio.SocketStream], Awaitable[None]]


class Listener(Protocol):
    """What connections come from."""

    async def accept(self) -> Sequence[trio.SocketStream]:
        """Wait for the next ones: one at least."""


class Turns(Protocol):
    """How many connections this process has, beside the others."""

    def is_ahead(self) -> bool:
        """Whether another process should take the next connection."""

    def enter(self) -> None:
        """One more."""

    def leave(self) -> None:
        """One less."""


async def accept(
    listener: trio.SocketListener,
    handler: Handler,
    nursery: trio.Nursery,
    turns: Turns | None = None,
) -> NoReturn:
    """Run `handler` in `nursery` for each connection, which is closed after it; until cancelled.

    `turns`: other processes accept on the socket too. Closes `listener` at its end.

    Raises:
        OSError: it does not listen any more.
    """
    shared = turns or _Alone()

    async def handle(stream: trio.SocketStream) -> None:
        try:
            await handler(stream)
        finally:
            shared.leave()

    # A duplicate: trio's own sockets cannot be asked for what is there without waiting for more.
    with listener.socket, socket.socket(fileno=os.dup(listener.socket.fileno())) as own:
        own.setblocking(False)
        await accept_from(_Listening(own, shared), handle, nursery)


async def accept_from(listener: Listener, handler: Handler, nursery: trio.Nursery) -> NoReturn:
    """As `accept`, from whatever has connections."""

    async def handle(stream: trio.SocketStream) -> None:
        try:
            await handler(stream)
        finally:
            await trio.aclose_forcefully(stream)

    quiet_until = 0.0
    while True:
        try:
            streams = await listener.accept()
        except OSError as error:
            if error.errno not in _SHORT | _LOST:
                raise
            if error.errno in _SHORT and trio.current_time() >= quiet_until:
                quiet_until = trio.current_time() + QUIET
                _log.error("new connections wait: %s", os.strerror(error.errno))
            await trio.sleep(REST)
        else:
            for stream in streams:
                nursery.start_soon(handle, stream)


class _Alone:
    """No other process accepts (`Turns`)."""

    def is_ahead(self) -> bool:
        return False

    def enter(self) -> None:
        """See `Turns`."""

    def leave(self) -> None:
        """See `Turns`."""


class _Listening:
    """A listening socket, maybe one that others accept on too (`Listener`)."""

    def __init__(self, listening: socket.socket, turns: Turns) -> None:
        self._listening = listening
        self._turns = turns

    async def accept(self) -> list[trio.SocketStream]:
        """See `Listener`; each connection is entered as ours.

        An error after the first one is for the next call, if it lasts.
        """
        found: list[trio.SocketStream] = []
        while not found:
            await trio.lowlevel.wait_readable(self._listening)
            if self._turns.is_ahead():
                await trio.sleep(PATIENCE)
            try:
                self._take(found)
            except BlockingIOError:  # that was all; or another process took it
                continue
            except OSError:
                if not found:
                    raise
        return found

    def _take(self, found: list[trio.SocketStream]) -> None:
        """Accept what is there, as long as it is our turn."""
        while len(found) < BURST and not (found and self._turns.is_ahead()):
            accepted = self._listening.accept()[0]
            self._turns.enter()
            found.append(trio.SocketStream(trio.socket.from_stdlib_socket(accepted)))
