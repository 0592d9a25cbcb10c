"""One connection between a worker and the daemon: whole frames, one after the other."""

import math
import os
import select
from contextlib import suppress
from typing import Final

import trio

from cas.remote.wire import FrameInvalid, Frames, Reply, Request, frame

STALL_SECONDS: Final = 30.0  # without a byte within a frame, either way: the peer is stuck
_PIECE: Final = 256 << 10  # bytes asked of the socket at once


class Hangup(Exception):
    """The connection ended, or what came over it was no frame; it is of no more use."""


class Channel:
    """A connection; one task reads it and one writes."""

    def __init__(self, connected: trio.socket.SocketType) -> None:
        self._socket = connected
        self._frames = Frames()
        self._is_sending = False

    async def send(self, message: Request | Reply) -> None:
        """Send one message.

        Raises:
            Hangup: the peer is gone, or took nothing for STALL_SECONDS.
            ObjectTooLarge: it does not fit a frame; nothing was sent.
        """
        data = memoryview(frame(message))
        self._is_sending = True
        try:
            while data:
                with trio.fail_after(STALL_SECONDS):
                    data = data[await self._socket.send(data) :]
        except (OSError, trio.ClosedResourceError, trio.TooSlowError) as error:
            raise Hangup from error
        finally:
            self._is_sending = False

    def mention(self, message: Reply) -> None:
        """Send a few bytes that may as well be lost, between two frames; never waits."""
        if not self._is_sending:
            with suppress(OSError):  # full: then it has enough to read. Gone: who reads will notice
                os.write(self._socket.fileno(), frame(message))

    async def receive(self) -> bytes:
        """The content of the next frame, however long its first byte takes.

        Raises:
            Hangup: the peer is gone, stopped within the frame, or sent none.
        """
        try:
            while (content := self._frames.take()) is None:
                with trio.fail_after(STALL_SECONDS if self._frames.is_within else math.inf):
                    self._frames.feed(await self._some())
        except (FrameInvalid, trio.TooSlowError) as error:
            raise Hangup from error
        return content

    @property
    def is_ahead(self) -> bool:
        """Whether the peer has said more than what was received."""
        return self._frames.is_within

    async def wait_hangup(self) -> None:
        """Wait until the peer leaves, or says something while it was its turn to listen."""
        try:
            self._frames.feed(await self._some())
        except Hangup:
            return

    async def _some(self) -> bytes:
        try:
            data = await self._socket.recv(_PIECE)
        except (OSError, trio.ClosedResourceError) as error:
            raise Hangup from error
        if not data:
            raise Hangup
        return data

    @property
    def is_quiet(self) -> bool:
        """Whether the peer is still there and says nothing, as it should between two calls."""
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close it at once."""
        self._socket.close()
