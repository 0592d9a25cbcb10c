"""The sending side of an h2 connection, which all its answers share.

What is to be sent is framed only by whoever has the turn to send it: however many answers wait, one
slice of one of them is in memory beside what the application gave.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import trio
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from frontend.server.wire import STALL_BYTES, Gone, Wire

SLICE: Final = 256 << 10  # bytes of one answer before the others have their turn

Fields = Sequence[tuple[bytes, bytes]]


class Pace:
    """How long one answer may wait for its client: every `STALL_BYTES` under the stall limit."""

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._renew_at = 0
        self._ends = math.inf
        self._sent = 0

    def note(self, sent: int) -> None:
        """Count bytes."""
        self._sent += sent

    def ends(self) -> float:
        """When the wait that begins now is over, on trio's clock."""
        if self._sent >= self._renew_at:
            self._renew_at = self._sent + STALL_BYTES
            self._ends = trio.current_time() + self._stall_seconds
        return self._ends


class Sending:
    """Frames out. What waits raises Gone where the stream, or the client, takes nothing more."""

    def __init__(self, connection: H2Connection, wire: Wire) -> None:
        self._connection = connection
        self._wire = wire
        self._turn = trio.Lock()
        self._moved = trio.Event()
        self._is_over = False
        self._answered = 0  # frames of answers since somebody asked
        self._framed = b""  # what is being sent, or was when its sender was cancelled

    def move(self) -> None:
        """Have all answers look again: a window grew, or a stream ended."""
        self._moved.set()
        self._moved = trio.Event()

    def end(self) -> None:
        """Nobody reads what the client says any more: no window will grow."""
        self._is_over = True
        self.move()

    def take_framed(self) -> int:
        """How many frames of answers there were since this was last asked."""
        count, self._answered = self._answered, 0
        return count

    async def flush(self) -> None:
        """Send what the protocol has to say."""
        async with self._turn:
            await self._send_framed()

    def say_goodbye(self) -> None:
        """Say that we end the connection, if that goes without waiting."""
        if not self._framed:
            self._connection.close_connection()
            self._wire.try_send(self._connection.data_to_send())

    async def send_head(self, stream: int, status: int, fields: Fields) -> None:
        """Begin an answer."""
        self.queue_head(stream, status, fields)
        await self.flush()

    def queue_head(self, stream: int, status: int, fields: Fields, *, is_all: bool = False) -> None:
        """Begin an answer with the next frames that go out; `is_all` when it has no body."""
        with _known():
            head = [(b":status", b"%d" % status), *fields]
            self._connection.send_headers(stream, head, end_stream=is_all)
            self._answered += 1

    async def send_body(self, stream: int, data: bytes, pace: Pace) -> None:
        """Send bytes of an answer as the client's windows allow."""
        rest = memoryview(data)
        while rest:
            async with self._turn:
                moved = self._moved
                sent = self._queue(stream, rest)
                await self._send_framed()
            pace.note(sent)
            rest = rest[sent:]
            if not sent:
                with trio.CancelScope(deadline=pace.ends()) as patience:
                    await moved.wait()
                if patience.cancelled_caught:
                    self.reset(stream, ErrorCodes.CANCEL)
                    raise Gone

    async def end_body(self, stream: int) -> None:
        """Say that the answer is whole."""
        with _known():
            self._connection.end_stream(stream)
        await self.flush()

    def reset(self, stream: int, code: ErrorCodes) -> None:
        """End a stream with the next frames that go out, unless it is gone already."""
        try:
            with _known():
                self._connection.reset_stream(stream, code)
        except Gone:
            pass

    async def _send_framed(self) -> None:
        """Send what is framed; who is cancelled leaves the rest to the next one.

        A frame that was cut short would take all answers of the connection along.
        """
        self._framed += self._connection.data_to_send()
        if self._framed:
            before = self._wire.sent
            try:
                await self._wire.send(self._framed)
            finally:
                self._framed = self._framed[self._wire.sent - before :]

    def _queue(self, stream: int, rest: memoryview) -> int:
        """Frame what the windows allow of `rest`; returns how many bytes that is."""
        if self._is_over:
            raise Gone
        with _known():
            window = self._connection.local_flow_control_window(stream)
            room = min(window, SLICE, len(rest))
            frame = self._connection.max_outbound_frame_size
            for start in range(0, room, frame):
                self._connection.send_data(stream, bytes(rest[start : min(start + frame, room)]))
                self._answered += 1
        return max(room, 0)


@contextmanager
def _known() -> Iterator[None]:
    """h2 tells in several ways that a stream, or the connection, is closed."""
    try:
        yield
    except (ProtocolError, KeyError):
        raise Gone from None
