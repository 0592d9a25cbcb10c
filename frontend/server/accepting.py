"""Accepting connections: also while there are more of them than descriptors, and in turn.

trio's own loop logs a traceback for each of its ten tries a second, and ends the server when a
connection failed before it was accepted.

Of several processes that share a socket every one is woken by a connection; the first one that
looks takes it, and under a burst that is the same one again and again. So whoever is ahead of the
others waits a moment before it takes more.
"""

import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, Protocol

import trio

REST: Final = 0.1  # seconds until the next try: ten a second are no load, and nobody waits long
QUIET: Final = 60.0  # seconds between two lines about it
# Seconds that one who is ahead leaves to the others; the kernel's timers are no finer. When the
# others are stuck, we still take 1,000 connections a second.
PATIENCE: Final = 0.001

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

    async def accept(self) -> trio.SocketStream:
        """Wait for the next one."""


class Turns(Protocol):
    """How many connections this process has, beside the others."""

    def is_ahead(self) -> bool:
        """Whether another process should take the next connection."""

    def enter(self) -> None:
        """One more."""

    def leave(self) -> None:
        """One less."""


async def accept(listener: Listener, handler: Handler, nursery: trio.Nursery) -> NoReturn:
    """Run `handler` in `nursery` for each connection, which is closed after it; until cancelled.

    Raises:
        OSError: it does not listen any more.
    """

    async def handle(stream: trio.SocketStream) -> None:
        try:
            await handler(stream)
        finally:
            await trio.aclose_forcefully(stream)

    quiet_until = 0.0
    while True:
        try:
            stream = await listener.accept()
        except OSError as error:
            if error.errno not in _SHORT | _LOST:
                raise
            if error.errno in _SHORT and trio.current_time() >= quiet_until:
                quiet_until = trio.current_time() + QUIET
                _log.error("new connections wait: %s", os.strerror(error.errno))
            await trio.sleep(REST)
        else:
            nursery.start_soon(handle, stream)


async def accept_in_turn(
    listener: trio.SocketListener, handler: Handler, nursery: trio.Nursery, turns: Turns
) -> NoReturn:
    """As `accept`, on a socket that other processes accept on too; closes `listener` at its end."""

    async def handle(stream: trio.SocketStream) -> None:
        try:
            await handler(stream)
        finally:
            turns.leave()

    # A duplicate: trio's own sockets cannot be asked for what is there without waiting for more.
    with listener.socket, socket.socket(fileno=os.dup(listener.socket.fileno())) as shared:
        shared.setblocking(False)
        await accept(_Shared(shared, turns), handle, nursery)


class _Shared:
    """A listening socket that others accept on too (`Listener`)."""

    def __init__(self, listening: socket.socket, turns: Turns) -> None:
        self._listening = listening
        self._turns = turns

    async def accept(self) -> trio.SocketStream:
        """See `Listener`; the connection is entered as ours."""
        while True:
            await trio.lowlevel.wait_readable(self._listening)
            if self._turns.is_ahead():
                await trio.sleep(PATIENCE)
            try:
                accepted = self._listening.accept()[0]
            except BlockingIOError:  # another process took it
                continue
            self._turns.enter()
            return trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
