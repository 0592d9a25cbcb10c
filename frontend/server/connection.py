"""One connection on Hypercorn, fenced: whatever comes in, only this connection suffers.

Hypercorn's own connection lets an exception end the worker, cannot be cancelled while a reader
stalls, waits for ever for a sender, and changes to HTTP/2 in clear text (hardening §1.1-1.3).
"""

import contextlib
import logging
import math
from dataclasses import dataclass
from typing import Final

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol import ProtocolWrapper
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr

from frontend.server.http1 import Http1
from frontend.server.inbox import Tasks
from frontend.settings import Http

READ_SIZE: Final = 256 << 10  # bytes a read: a quarter of the turns through h11 that 64 KiB takes
SEND_SLICE: Final = 256 << 10  # bytes under one stall limit: 60 s are enough for 4.3 KiB/s
CLOSE_SECONDS: Final = 2.0  # for a closing connection to take our last bytes

_log = logging.getLogger("orlop.connection")

Ends = tuple[tuple[str, int] | None, tuple[str, int] | None]


def _ends(socket: trio.socket.SocketType) -> Ends:
    """The addresses of the client and of ourselves; None for a Unix socket."""
    return (
        parse_socket_addr(socket.family, socket.getpeername()),
        parse_socket_addr(socket.family, socket.getsockname()),
    )


class Protocol(ProtocolWrapper):
    """Hypercorn's wrapper without its changes of protocol."""

    protocol: Http1

    def __init__(self, connection: "Connection", tasks: Tasks, ends: Ends) -> None:
        self.protocol = tasks.protocol = Http1(
            connection.app,
            connection.config,
            connection.context,
            tasks,
            ConnectionState(connection.state),
            False,  # not TLS
            *ends,
            connection.protocol_send,
        )

    async def handle(self, event: Event) -> None:
        """Feed bytes or the end of the connection."""
        await self.protocol.handle(event)


@dataclass(frozen=True, slots=True)
class Worker:
    """What all connections of a server share."""

    app: AppWrapper
    config: Config
    context: WorkerContext
    limits: Http


class Connection(TCPServer):
    """One accepted socket, from its first byte to its close."""

    stream: trio.SocketStream  # type: ignore[assignment]  # Hypercorn declares only its TLS form
    protocol: Protocol

    def __init__(self, worker: Worker, state: ConnectionState, stream: trio.SocketStream) -> None:
        super().__init__(worker.app, worker.config, worker.context, state, stream)  # type: ignore[arg-type]  # as above
        self._limits = worker.limits
        self._reading = trio.CancelScope()
        self._head_deadline = math.inf
        self._is_closing = False  # our last byte is sent; what still comes is dropped
        self._is_over = False  # nothing is read any more

    async def run(self) -> None:
        """Serve until either side ends it. Raises nothing but what cancels us."""
        try:
            await self._serve()
        except BaseExceptionGroup as group:
            ours, others = group.split(Exception)
            if ours is not None:
                _log.error("a connection failed", exc_info=ours)
            if others is not None:
                raise others from None
        # The fence: nothing that goes wrong in one connection may reach the others.
        except Exception as error:  # noqa: BLE001 - see above
            _log.error("a connection failed", exc_info=error)
        finally:
            await trio.aclose_forcefully(self.stream)

    async def _serve(self) -> None:
        try:
            ends = _ends(self.stream.socket)
        except OSError:
            return  # the peer is gone before we knew its name
        tasks = Tasks()
        async with tasks:
            self._task_group = tasks
            self.protocol = Protocol(self, tasks, ends)
            await self.idle_task.restart(tasks, self._idle_timeout)
            await self._read_data()
            self._is_over = True
            await self.protocol.handle(Closed())
            await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        """Send bytes, begin to close, or note that the connection is (not) idle."""
        if isinstance(event, RawData):
            async with self.send_lock:
                is_sent = await self._send_slices(memoryview(event.data))
            if not is_sent:
                await self.protocol.handle(Closed())
        elif isinstance(event, Closed):
            await self._begin_close()
        elif not self._is_over:
            await super().protocol_send(event)

    async def _begin_close(self) -> None:
        """Say that nothing more comes, and let the reader drop what still does, for a while.

        Closing with bytes unread would reset the connection, and the client would lose our answer.
        """
        self._is_closing = True
        self._reading.deadline = min(self._reading.deadline, trio.current_time() + CLOSE_SECONDS)
        async with self.send_lock:  # the application may be sending what the reader interrupts
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self.stream.send_eof()
        await self.protocol.handle(Closed())

    async def _send_slices(self, data: memoryview) -> bool:
        """Send all of it, and say so; otherwise the connection is closed."""
        is_whole = False
        try:
            for start in range(0, len(data), SEND_SLICE):
                with trio.fail_after(self._limits.stall_seconds):
                    await self.stream.send_all(data[start : start + SEND_SLICE])
            is_whole = True
        except trio.TooSlowError:
            _log.info("a reader stalled: connection closed")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the reader left
        finally:
            if not is_whole:  # cancelled too: what follows half a slice would be misread
                await trio.aclose_forcefully(self.stream)
        return is_whole

    async def _read_data(self) -> None:
        with self._reading:
            while True:
                data = await self._read_some()
                if data and not self._is_closing:
                    await self.protocol.handle(RawData(data))
                elif not data:
                    return

    async def _read_some(self) -> bytes:
        """The next bytes; nothing when the connection is at its end."""
        http = self.protocol.protocol
        if not http.has_partial_head:
            self._head_deadline = math.inf
        elif self._head_deadline == math.inf:
            self._head_deadline = trio.current_time() + self._limits.header_seconds
        try:
            with trio.fail_at(self._head_deadline):
                return bytes(await self.stream.receive_some(READ_SIZE))
        except trio.TooSlowError:
            await http.refuse(408)
            return b""
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            return b""
