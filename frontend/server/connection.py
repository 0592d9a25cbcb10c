"""One connection, fenced: whatever comes in, only this connection suffers.

Head by head: a hot read is answered here and at once, everything else by the application through
Hypercorn's stream (`exchange`). Hypercorn's own connection lets an exception end the worker, cannot
be cancelled while a reader stalls, and waits for ever for a sender (hardening §1.1-1.3).
"""

import logging
import math
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr

from cas.errors import Damaged
from frontend.server.answers import AnswerBroken, end_head, refusal
from frontend.server.clients import address_of
from frontend.server.deadlines import Deadlines
from frontend.server.exchange import Address, Exchange, Setting
from frontend.server.groups import sole_leaf
from frontend.server.heads import Refused
from frontend.server.hot import HotRead, HotReads, NoHotReads
from frontend.server.negotiation import agree
from frontend.server.receiver import Receiver
from frontend.server.sending import send_parts
from frontend.server.tls import TlsWire
from frontend.server.wire import Gone, Wire
from frontend.settings import Http

HEAD_READ: Final = 8 << 10  # bytes: a head and more; larger buffers cost a quarter of the rate
DRAIN_READ: Final = 64 << 10
FRESH_SECONDS: Final = 2.0  # for the first request of a connection that was accepted as we drain
CLOSE_SECONDS: Final = 2.0  # for a closing connection to take our last bytes

_log = logging.getLogger("orlop.connection")


def _tell(error: Exception) -> None:
    """Log what ended a connection: a bug of ours with its trace, damage (as often as read) not."""
    leaf = sole_leaf(error)
    if isinstance(leaf, Damaged):
        _log.error("an answer was cut short: %s", leaf)
    else:
        _log.error("a connection failed", exc_info=error)


@dataclass(frozen=True, slots=True)
class Worker:
    """What all connections of a server share."""

    app: AppWrapper
    config: Config
    context: WorkerContext
    limits: Http
    deadlines: Deadlines
    hot: HotReads
    serve_h2: "ServeH2 | None" = None  # None: nobody may speak it


# Serves a connection that speaks h2, from its first bytes to its end.
ServeH2 = Callable[[Worker, Setting, Wire, bytes], Awaitable[None]]


class Connection:
    """One accepted socket, from its first byte to its close."""

    def __init__(
        self,
        worker: Worker,
        state: ConnectionState,
        stream: trio.SocketStream,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._worker = worker
        self._state = state
        self._stream = stream
        stall_seconds = worker.limits.stall_seconds
        self._wire = (
            Wire(stream, stall_seconds) if tls is None else TlsWire(stream, stall_seconds, tls)
        )
        self._is_tls = tls is not None
        self._receiver = Receiver()
        self._scope = trio.CancelScope()
        self._is_idle = True  # between requests, with nothing of the next one here
        self._is_in_head = False
        self._is_fresh = True  # no request yet

    # --- what `Deadlines` asks and says ---

    @property
    def deadline(self) -> float:
        """When this ends if nothing happens."""
        return self._wire.deadline

    def expire(self) -> None:
        """End, because the deadline passed, unless the client takes what we send."""
        if not self._wire.is_taking():
            self._scope.cancel()

    def drain(self) -> None:
        """End as soon as nothing is under way. Who has just connected is answered once."""
        if self._is_fresh:
            self._hurry()
        elif self._is_idle:
            self._scope.cancel()

    def _hurry(self) -> None:
        """Wait for a first request no longer than it takes to come."""
        hurried = trio.current_time() + FRESH_SECONDS
        self._wire.deadline = min(self._wire.deadline, hurried)

    # --- the connection's task ---

    async def run(self) -> None:
        """Serve until either side ends it. Raises nothing but what cancels us."""
        is_abort = False
        try:
            with self._worker.deadlines.watching(self):
                is_abort = await self._serve_fenced()
        except BaseExceptionGroup as group:  # what cancels us goes on, the rest ends here
            ours, others = group.split(Exception)
            if ours is not None:
                _tell(ours)
            if others is not None:
                raise others from None
        # The fence: nothing that goes wrong in one connection may reach the others.
        except Exception as error:  # noqa: BLE001 - see above
            _tell(error)
        finally:
            self._wire.close(is_abort=is_abort)

    async def _serve_fenced(self) -> bool:
        """Serve; returns whether to close with a reset, which drops what was not taken yet."""
        try:
            with self._scope:
                await self._serve_whole()
        except Refused as refused:
            await self._refuse(refused.status)
        except Gone:
            pass
        except AnswerBroken as broken:  # why is in the log already
            return broken.looks_whole
        if not self._scope.cancelled_caught:
            return False
        if self._is_in_head:
            await self._refuse(408)
            return False
        if self._is_idle:
            self._wire.finish()
        return not self._is_idle  # nobody takes what is left

    async def _serve_whole(self) -> None:
        setting = self._setting()
        if setting is None:
            return
        if self._is_tls or (self._worker.serve_h2 is not None and not self._state):
            await self._serve_agreed(setting)
        else:
            await self._serve(setting)
        self._wire.finish()

    async def _serve_agreed(self, setting: Setting) -> None:
        """Find out what the client speaks, and speak that."""
        worker = self._worker
        is_h2, first = await agree(
            self._wire, worker.limits, is_h2_spoken=worker.serve_h2 is not None
        )
        if is_h2 and worker.serve_h2 is not None:
            self._is_idle = self._is_fresh = False  # it has deadlines and a drain of its own
            await worker.serve_h2(worker, setting, self._wire, first)
            await self._linger()
            return
        self._receiver.feed(first)
        await self._serve(setting)

    def _setting(self) -> Setting | None:
        """What the requests share; None when the peer is gone before we knew its name."""
        socket = self._stream.socket
        try:
            client: Address = parse_socket_addr(socket.family, socket.getpeername())
            server: Address = parse_socket_addr(socket.family, socket.getsockname())
        except OSError:
            return None
        worker = self._worker
        state, is_ending = ConnectionState(self._state), self._is_ending
        return Setting(
            worker.app,
            worker.config,
            worker.context,
            state,
            client,
            server,
            is_ending,
            self._is_tls,
        )

    def _is_ending(self) -> bool:
        return self._worker.deadlines.is_draining

    async def _serve(self, setting: Setting) -> None:
        hot: HotReads = NoHotReads() if self._state else self._worker.hot
        address = address_of(setting.client)
        while (block := await self._next_block()) is not None:
            found = hot.recall(block, address)
            if found is None:
                is_kept = await self._handle(setting, hot, block, address)
            else:
                is_kept = await self._answer(found)
            if not is_kept:
                await self._linger()
                return
            if self._receiver.held:  # a client that sends many at once waits its turn
                await trio.lowlevel.checkpoint()

    async def _handle(self, setting: Setting, hot: HotReads, block: bytes, address: str) -> bool:
        """Answer a request that is not remembered; returns whether the connection is kept."""
        head = self._receiver.open(block)
        found = hot.find(block, head, address) or await hot.prove(block, head, address)
        if found is not None:
            return await self._answer(found)
        return await Exchange(setting, self._wire, self._receiver, head).run()

    async def _next_block(self) -> bytes | None:
        """Wait for the next request's head; None at the end of the connection.

        Raises:
            Refused
        """
        wire, receiver, limits = self._wire, self._receiver, self._worker.limits
        block = receiver.next_block()
        if block is None:
            is_started = False
            self._is_idle = not receiver.held
            wire.deadline = trio.current_time() + limits.idle_seconds
            if self._is_fresh and self._is_ending():
                self._hurry()
            while block is None:
                if receiver.held and not is_started:
                    is_started, self._is_idle, self._is_in_head = True, False, True
                    wire.deadline = trio.current_time() + limits.header_seconds
                elif self._is_idle and self._is_ending() and not self._is_fresh:
                    return None
                data = await wire.read(HEAD_READ)
                if not data:
                    return None
                receiver.feed(data)
                block = receiver.next_block()
            wire.deadline = math.inf
            self._is_idle = self._is_in_head = False
        self._is_fresh = False
        return block

    async def _answer(self, found: HotRead) -> bool:
        """Send an answer that is at hand; returns whether the connection is kept."""
        wire = self._wire
        is_last = found.is_last or self._is_ending()
        before = wire.sent
        try:
            beginning = found.beginning + end_head(is_last=is_last)
            before += len(beginning)
            await send_parts(wire, beginning, found.body)
        finally:
            found.finish(max(wire.sent - before, 0))
        return not is_last

    # --- its end ---

    async def _refuse(self, status: int) -> None:
        """Answer `status`, and close."""
        with trio.move_on_after(CLOSE_SECONDS):
            try:
                await self._wire.send(refusal(status))  # the answer before may fill the socket
            except Gone:
                return
            await self._linger()

    async def _linger(self) -> None:
        """Say that nothing more comes, and drop what still does, for a while.

        Closing with bytes unread would reset the connection, and the client would lose our answer.
        """
        self._wire.end_sending()
        self._wire.deadline = trio.current_time() + CLOSE_SECONDS
        self._is_idle = True
        while await self._wire.read(DRAIN_READ):
            await trio.lowlevel.checkpoint()  # where more is here at once, reading does not wait
