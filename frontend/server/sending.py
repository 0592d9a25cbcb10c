"""The body of an answer onto the wire: from memory, and from packs by `sendfile` or as a copy.

Bytes that are in memory and checked go at once, without a thread; the others are read in and
checked by one. Never more than a slice waits for a slow reader.
"""

import errno
from collections.abc import Sequence
from typing import Final

import trio

from frontend.domain.message import Slice
from frontend.server.wire import SEND_SLICE, Gone, Wire

LOAD: Final = (
    4 << 20
)  # bytes that a thread reads in: one chunk of an opaque blob at most, or 64 small

# Bytes that a large answer may send in its first turn, twice as many in the next one, and so on: of
# many that begin at once, the last one has its first byte after so many of each other, not a MiB.
FIRST_TURN: Final = 64 << 10
LARGE: Final = 256 << 10  # bytes; less is sent at once
COPY: Final = 256 << 10  # bytes of a pack in memory of our own at once

# Reads that block on a disk at the same time; more would only queue there.
_readers = trio.CapacityLimiter(16)


async def send_parts(wire: Wire, beginning: bytes, parts: Sequence[bytes | Slice]) -> None:
    """Send a head and its body.

    Raises:
        Gone: the client takes nothing more.
        Damaged: bytes are not what was stored; the client must not think that it has all.
    """
    pending = [beginning]
    for part in parts:
        if isinstance(part, Slice):
            await wire.send(*pending)
            pending = []
            await (_send_slice if wire.has_sendfile else _send_copied)(wire, part)
        else:
            pending.append(part)
    if pending:
        await wire.send(*pending)


class _Turn:
    """Up to where an answer may be sent before others have theirs."""

    def __init__(self, part: Slice) -> None:
        self._part = part
        self._size = FIRST_TURN if len(part) >= LARGE else LARGE
        self.begin(part.start)

    def begin(self, start: int) -> None:
        """It is our turn: at `start`."""
        self.stop = min(start + self._size, self._part.stop)

    async def end(self) -> None:
        """Let the others have theirs, and begin a longer one."""
        await trio.lowlevel.checkpoint()
        self._size = min(2 * self._size, SEND_SLICE)
        self.begin(self.stop)


async def _send_slice(wire: Wire, part: Slice) -> None:
    start, loaded = part.start, part.start
    turn = _Turn(part)
    wire.begin()
    while start < part.stop:
        try:
            sent = part.blob.send(wire, start, turn.stop)
        except BlockingIOError:
            await wire.wait_writable()
            turn.begin(start)
            continue
        except OSError as error:
            if error.errno == errno.EIO:
                raise  # our disk's, not the client's
            raise Gone from None
        if sent:
            wire.sent += sent
            start += sent
            if start == turn.stop < part.stop:
                await turn.end()  # a fast reader must not keep others waiting
        elif loaded <= start:
            loaded = min(start + LOAD, part.stop)
            await trio.to_thread.run_sync(part.blob.load, start, loaded, limiter=_readers)
        else:  # it is gone from memory again, or the system does not say what is there
            stop = turn.stop
            data = await trio.to_thread.run_sync(part.blob.read, start, stop, limiter=_readers)
            await wire.send(data)
            start = stop
            turn.begin(start)


async def _send_copied(wire: Wire, part: Slice) -> None:
    """As `_send_slice`, for a wire that must see the bytes."""
    start, loaded = part.start, part.start
    while start < part.stop:
        stop = min(start + COPY, part.stop)
        data = part.blob.peek(start, stop)
        if not data and loaded <= start:
            loaded = min(start + LOAD, part.stop)
            await trio.to_thread.run_sync(part.blob.load, start, loaded, limiter=_readers)
            continue
        if not data:
            data = await trio.to_thread.run_sync(part.blob.read, start, stop, limiter=_readers)
        await wire.send(data)
        start += len(data)
        await trio.lowlevel.checkpoint()
