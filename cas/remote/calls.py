"""A client's connections to the daemon: one for each call under way, and one that says we live.

Nothing is sent twice. When a connection breaks before the answer, nobody knows whether the daemon
did what it was asked, so the caller is told (DaemonAway) and decides: all that is asked of the
daemon may be asked again. What was idle while the daemon restarted is found dead before it is used,
so the first call after that just works.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

import trio

from cas.errors import CasError, DaemonAway
from cas.remote import wire
from cas.remote.channel import Channel, Hangup
from cas.remote.wire import FrameInvalid, Reply, Request
from cas.sockets import connected_path

# Calls under way at once; more wait here, where they cost no descriptors. Followers wait for
# appends, and appends for the hashers, while neither may hold up a commit: so each have their own.
MAX_CALLS: Final = 64
MAX_FOLLOWERS: Final = 128
_MAX_IDLE: Final = 8
_WELCOME_SECONDS: Final = 3.0  # a listening socket may be held while nobody accepts on it
# Without a word about a call under way; the daemon says every few seconds that it is at work.
SILENCE_SECONDS: Final = 15.0
_STAGE_SECONDS: Final = 5.0  # that a cancelled caller waits for an answer that never takes long


R = TypeVar("R", bound=Reply)


class Calls:
    """The way to the daemon at `path`; `refused` makes the error for one of another version."""

    def __init__(self, path: Path, refused: Callable[[str], CasError]) -> None:
        self._path = path
        self._refused = refused
        self._client = os.urandom(16)
        self._idle: list[Channel] = []
        self.appends = trio.Semaphore(MAX_CALLS)
        self.followers = trio.Semaphore(MAX_FOLLOWERS)
        self._calls = trio.Semaphore(MAX_CALLS)
        self._presence: Channel | None = None
        self._presenting = trio.Lock()

    async def call(
        self, request: Request, answer: type[R], turns: trio.Semaphore | None = None
    ) -> R:
        """Ask and return the answer. Cancelling it hangs up, and the daemon cancels what it can.

        `turns` are those of `appends` or `followers`, for calls that wait for what others do.

        Raises:
            DaemonAway, ObjectTooLarge; and what the daemon answered.
        """
        async with turns or self._calls:
            return await self._ask(request, answer)

    async def call_whole(self, request: Request, answer: type[R]) -> R:
        """As `call`, for what takes no time and must not be lost: cancelled after its answer.

        Raises:
            DaemonAway: as `call`; or the daemon did not answer in _STAGE_SECONDS.
        """
        async with self._calls:
            with trio.move_on_after(_STAGE_SECONDS, shield=True):
                return await self._ask(request, answer)
        raise DaemonAway

    async def _ask(self, request: Request, answer: type[R]) -> R:
        async with self._connection() as channel:
            await channel.send(request)
            reply = await _reply(channel)
        return _checked(reply, answer)

    async def stream(self, request: Request, answer: type[R]) -> AsyncGenerator[R, None]:
        """Ask, and yield answers until Done; as `call` otherwise."""
        async with self._calls, self._connection() as channel:
            await channel.send(request)
            while not isinstance(reply := await _reply(channel), wire.Done):
                yield _checked(reply, answer)

    async def be_present(self) -> None:
        """See to it that the daemon knows that this client lives: it ends our keys when we do not.

        Raises:
            DaemonAway; or what `refused` makes.
        """
        async with self._presenting:
            if self._presence is None or not self._presence.is_quiet:
                self._hide()
                self._presence = await self._connect(is_present=True)

    def close(self) -> None:
        """Close what no call uses."""
        self._hide()
        while self._idle:
            self._idle.pop().close()

    def _hide(self) -> None:
        if self._presence is not None:
            self._presence.close()
            self._presence = None

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Channel]:
        """A connection that is kept for the next call, unless this block is left by an error."""
        channel = self._take() or await self._connect()
        is_kept = False
        try:
            yield channel
            is_kept = len(self._idle) < _MAX_IDLE
        except Hangup as error:
            raise DaemonAway from error
        finally:
            if is_kept:
                self._idle.append(channel)
            else:
                channel.close()

    def _take(self) -> Channel | None:
        while self._idle:
            channel = self._idle.pop()
            if channel.is_quiet:
                return channel
            channel.close()
        return None

    async def _connect(self, *, is_present: bool = False) -> Channel:
        try:
            with connected_path(self._path) as short:
                stream = await trio.open_unix_socket(short)
        except OSError as error:
            raise DaemonAway from error
        channel = Channel(stream.socket)
        try:
            await self._greet(channel, is_present=is_present)
        except BaseException as error:  # cancelled too: nobody else would close it
            channel.close()
            if isinstance(error, Hangup | trio.TooSlowError):
                raise DaemonAway from error
            raise
        return channel

    async def _greet(self, channel: Channel, *, is_present: bool) -> None:
        with trio.fail_after(_WELCOME_SECONDS):
            welcome = _read(await channel.receive())
        if not isinstance(welcome, wire.Welcome) or welcome.shape != wire.SHAPE:
            raise self._refused(f"the daemon at {self._path} is of another version: restart both")
        await channel.send(wire.Hello(wire.SHAPE, self._client, is_present))
        if is_present:  # a key that is asked for on another connection must find it noted
            with trio.fail_after(_WELCOME_SECONDS):
                await channel.receive()


async def _reply(channel: Channel) -> Reply:
    """The next answer, however long the daemon works at it.

    Raises:
        Hangup: the connection broke, or nothing was said for SILENCE_SECONDS: the daemon hangs.
    """
    while True:
        try:
            with trio.fail_after(SILENCE_SECONDS):
                reply = _read(await channel.receive())
        except trio.TooSlowError as error:
            raise Hangup from error
        if not isinstance(reply, wire.AtWork):
            return reply


def _read(content: bytes) -> Reply:
    try:
        return wire.reply(content)
    except FrameInvalid as error:
        raise Hangup from error


def _checked(reply: Reply, answer: type[R]) -> R:
    """Raise what the daemon answered, if that is an error."""
    match reply:
        case wire.Failed():
            raise _error(reply.error)
        case wire.Broke():
            raise RuntimeError(f"the daemon failed: {reply.text}")
        case _ if isinstance(reply, answer):
            return reply
        case _:
            raise DaemonAway  # one that answers something else is not there for us


def _error(named: wire.Named) -> Exception:
    try:
        return wire.error(named)
    except FrameInvalid:
        return DaemonAway()
