"""A connected socket: reads and writes that wait as little as they can, and a deadline.

Nothing here has a timer of its own: `deadline` is a plain number, which one task looks at for all
connections (`deadlines`). Setting it costs nothing; a cancel scope for each read would.
"""

import contextlib
import fcntl
import math
import os
import socket
import struct
import termios
from typing import Final

import trio

SMALL: Final = 64 << 10  # bytes that are cheaper to copy together than to send apart
SEND_SLICE: Final = 1 << 20  # bytes that one call may send before others have their turn
_MUCH: Final = 64 << 10  # bytes; with less at a time a client is read as any other
STALL_BYTES: Final = 256 << 10  # bytes under one stall limit: 60 s are enough for 4.3 KiB/s


class Gone(Exception):
    """The client takes nothing more."""


class Wire:
    """The socket of one connection; one task reads, one writes."""

    has_sendfile = True  # whether a file's bytes may be put on the descriptor as they are

    def __init__(self, stream: trio.SocketStream, stall_seconds: float) -> None:
        self._stream = stream
        self._number = stream.socket.fileno()
        self._stall_seconds = stall_seconds
        self._is_empty = True  # the last read took all there was
        self._renew_at = 0  # bytes sent when the client gets a new stall limit
        self._taken = 0  # bytes that the client had acknowledged when it got it
        self._patience_ends = math.inf
        self.sent = 0  # bytes
        self.deadline = math.inf  # trio's clock: when this connection ends if nothing happens

    def fileno(self) -> int:
        """The descriptor, as system calls want it."""
        return self._number

    async def read(self, size: int) -> bytes:
        """What came, at most `size` bytes; nothing at the end, however it came."""
        if self._is_empty:  # asking now would most often be told "again"
            await trio.lowlevel.wait_readable(self._number)
        while True:
            try:
                data = os.read(self._number, size)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._number)
            except OSError:  # reset, timed out: there is nothing more either
                return b""
            else:
                self._is_empty = len(data) < size
                return data

    async def wait_arrived(self, size: int, seconds: float) -> bool:
        """Wait until `size` bytes are there, or much of them if the system holds no more.

        False when they did not come in time, or nothing more comes at all; and where the system
        wakes us for every byte, as it does on Unix sockets.
        """
        self._set_low_mark(size)
        try:
            with trio.move_on_after(seconds) as patience:
                await trio.lowlevel.wait_readable(self._number)
        finally:
            self._set_low_mark(1)
        return not patience.cancelled_caught and self._waiting() >= min(size, _MUCH)

    def _set_low_mark(self, size: int) -> None:
        """How many bytes there must be for the system to say that there are any: socket(7)."""
        with contextlib.suppress(OSError):  # then it only tells us earlier
            self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)

    def _waiting(self) -> int:
        """Bytes that came and were not read."""
        try:
            return int(struct.unpack("i", fcntl.ioctl(self._number, termios.FIONREAD, bytes(4)))[0])
        except OSError:
            return 0

    async def send(self, *parts: bytes) -> None:
        """Send all of it, every `STALL_BYTES` under the stall limit.

        Raises:
            Gone
        """
        data = b"".join(parts) if sum(map(len, parts)) <= SMALL else b""
        for part in (data,) if data else parts:
            sent = self.try_send(part)
            if sent < len(part):
                self.begin()
                await self._send_rest(memoryview(part)[sent:])

    def try_send(self, data: bytes | memoryview) -> int:
        """Send what fits without waiting; returns how many bytes that was.

        Raises:
            Gone
        """
        if not data:
            return 0
        try:
            sent = os.write(self._number, data)
        except BlockingIOError:
            return 0
        except OSError:
            raise Gone from None
        self.sent += sent
        return sent

    async def _send_rest(self, rest: memoryview) -> None:
        while rest:
            await self.wait_writable()
            rest = rest[self.try_send(rest[:SEND_SLICE]) :]

    def begin(self) -> None:
        """Something new is to be sent: the stall limit begins with the next wait."""
        self._renew_at = self.sent

    async def wait_writable(self) -> None:
        """Wait until the client takes more, unless it stalls."""
        if self.sent >= self._renew_at:
            self._renew_at = self.sent + STALL_BYTES
            self._begin_patience(self._acknowledged())
        self.deadline = self._patience_ends
        await trio.lowlevel.wait_writable(self._number)
        self.deadline = math.inf

    def is_taking(self) -> bool:
        """Whether the client, for which we wait, took enough until now; then it gets more time.

        The kernel has room again only when a third of what it holds is gone, which can be 1 MiB.
        """
        if self.deadline != self._patience_ends:
            return False
        taken = self._acknowledged()
        if taken - self._taken < STALL_BYTES:
            return False
        self._begin_patience(taken)
        self.deadline = self._patience_ends
        return True

    def _begin_patience(self, taken: int) -> None:
        self._taken = taken
        self._patience_ends = trio.current_time() + self._stall_seconds

    def _acknowledged(self) -> int:
        try:
            held = fcntl.ioctl(self._number, termios.TIOCOUTQ, bytes(4))  # SIOCOUTQ: tcp(7)
        except OSError:
            return self._taken
        return self.sent - int(struct.unpack("i", held)[0])

    def end_sending(self) -> None:
        """Say that nothing more comes."""
        with contextlib.suppress(OSError):
            self._stream.socket.shutdown(socket.SHUT_WR)

    def finish(self) -> None:
        """Nothing was cut off, and nothing more comes: the close says so, in clear text."""

    def close(self, *, is_abort: bool = False) -> None:
        """Close at once; an abort tells the client that what it has is not all."""
        if is_abort:
            with contextlib.suppress(OSError):
                self._stream.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                )
        self._stream.socket.close()
