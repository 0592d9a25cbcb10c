"""Bytes to and from an upstream: a socket as it is, or TLS on it. Reads are wide.

With 256 KiB a read, what a socket holds comes in one call, into memory that is there already.
"""

import ssl
from contextlib import suppress
from typing import Final, Protocol

import trio

WIDE: Final = 256 << 10  # bytes a read


class Wire(Protocol):
    """What a connection needs of it; errors are OSError or trio's."""

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""

    async def receive_into(self, view: memoryview) -> int:
        """Receive at least a byte, at most `view`; 0 at the end."""

    def is_readable(self) -> bool:
        """Whether something came: between two answers it can only be the end, or rubbish."""

    async def aclose(self) -> None:
        """Close, without a word to the other side."""


class Plain:
    """A socket."""

    def __init__(self, socket: trio.socket.SocketType) -> None:
        self.socket = socket

    async def wait_arrived(self, size: int, seconds: float) -> None:
        """Wait until `size` bytes are there, or as many as the system holds; no longer than that.

        What comes fast is worth a step for much of it; what comes slowly is passed on at once.
        """
        self._set_low_mark(size)
        try:
            with trio.move_on_after(seconds):
                await trio.lowlevel.wait_readable(self.socket)
        finally:
            self._set_low_mark(1)

    def _set_low_mark(self, size: int) -> None:
        """How many bytes there must be for the system to say that there are any: socket(7)."""
        with suppress(OSError):  # then it only tells us earlier
            self.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVLOWAT, size)

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""
        view = memoryview(data)
        while view:
            view = view[await self.socket.send(view) :]

    async def receive_into(self, view: memoryview) -> int:
        """Receive into memory that is the caller's: one copy, from the kernel."""
        return await self.socket.recv_into(view)

    def is_readable(self) -> bool:
        """See `Wire`."""
        return self.socket.is_readable()

    async def aclose(self) -> None:
        """See `Wire`. Nothing is waited for, so that closing several cannot be cut short."""
        self.socket.close()


class _Below(trio.abc.Stream):
    """A wire as the stream that TLS is spoken on."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._buffer = bytearray(WIDE)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._wire.send_all(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytearray:
        count = await self._wire.receive_into(memoryview(self._buffer))
        return self._buffer[:count]

    async def aclose(self) -> None:
        await self._wire.aclose()


class Tls:
    """TLS on another wire. An end without a goodbye is an end: lengths and digests tell."""

    def __init__(self, below: Wire, context: ssl.SSLContext, host: str) -> None:
        self._below = below
        self._stream = trio.SSLStream(
            _Below(below), context, server_hostname=host, https_compatible=True
        )

    async def shake_hands(self) -> None:
        """Prove that it is the host that was meant.

        Raises:
            trio.BrokenResourceError: it is not, or speaks no TLS; its cause says which.
        """
        await self._stream.do_handshake()

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""
        await self._stream.send_all(data)

    async def receive_into(self, view: memoryview) -> int:
        """Receive one record, or the part of it that fits."""
        data = await self._stream.receive_some(len(view))
        view[: len(data)] = data
        return len(data)

    def is_readable(self) -> bool:
        """See `Wire`. A session ticket that comes late costs a connection, no more."""
        return self._below.is_readable()

    async def aclose(self) -> None:
        """See `Wire`."""
        await self._stream.aclose()
