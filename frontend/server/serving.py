"""Accepting, lifespan and an orderly end: Hypercorn's `worker_serve` with our own connections."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from cas.sockets import is_own_peer
from frontend.server.accepting import Handler, Turns, accept
from frontend.server.binding import Bound, open_bound
from frontend.server.certificate import Certificate, open_certificate
from frontend.server.connection import Connection, ServeH2, Worker
from frontend.server.deadlines import Deadlines
from frontend.server.hot import HotReads
from frontend.settings import Http

LOCAL_STATE: Final = (
    "orlop.local"  # in scope["state"]: the peer is our own user on the admin socket
)

_log = logging.getLogger("orlop.server")


@dataclass(frozen=True, slots=True)
class Sockets:
    """Listening, not yet accepting. `turns`: other processes accept on the public ones too."""

    public: tuple[trio.SocketListener, ...]
    admin: trio.SocketListener | None = None
    turns: Turns | None = None

    @classmethod
    def of(cls, bound: Bound, turns: Turns | None = None) -> "Sockets":
        """Those of `bound`, for this process to accept on."""
        admin = None if bound.admin is None else _listener(bound.admin)
        return cls(tuple(_listener(each) for each in bound.public), admin, turns)

    @property
    def port(self) -> int:
        """The port that was bound, when 0 was asked for."""
        number: int = self.public[0].socket.getsockname()[1]
        return number


@dataclass(frozen=True, slots=True)
class Service:
    """What answers: what `hot` does, `app` never sees."""

    app: Any  # an ASGI application
    hot: HotReads


@contextmanager
def open_sockets(listen: str, data: Path | None) -> Iterator[Sockets]:
    """Bind `listen`, and the admin socket below `data`.

    Raises:
        OSError: the address is in use, or may not be bound.
    """
    with open_bound(listen) as bound:
        if data is not None:
            bound.open_admin(data)
        yield Sockets.of(bound)


async def serve(
    service: Service,
    settings: Http,
    sockets: Sockets,
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop`; then accept nothing more and give requests under way their time.

    `task_status.started()` means connections are accepted.

    Raises:
        CertificateUnusable
    """
    certificate = open_certificate(settings)
    config = _config()
    state = ConnectionState({})
    context, deadlines = WorkerContext(None), Deadlines()
    worker = Worker(
        wrap_app(service.app, 0, "asgi"),
        config,
        context,
        settings,
        deadlines,
        service.hot,
        _h2(settings),
    )
    lifespan = Lifespan(worker.app, config, state)
    async with trio.open_nursery() as around:  # the lifespan outlives every connection
        around.start_soon(deadlines.run)
        await around.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                for listener, handler in _handlers(worker, sockets, certificate):
                    turns = None if listener is sockets.admin else sockets.turns
                    accepting.start_soon(accept, listener, handler, connections, turns)
                task_status.started()
                await stop.wait()
                accepting.cancel_scope.cancel()
            _close(sockets)
            await context.terminated.set()
            deadlines.drain()
            connections.cancel_scope.deadline = trio.current_time() + settings.shutdown_seconds
        await lifespan.wait_for_shutdown()
        around.cancel_scope.cancel()


def _config() -> Config:
    config = Config()
    config.errorlog = logging.getLogger("hypercorn.error")
    config.accesslog = None  # ours is in `frontend.app`, which knows the user
    config.include_server_header = False
    return config


def _h2(settings: Http) -> ServeH2 | None:
    """What serves h2; its code is not even loaded where it was not asked for."""
    if not settings.http2:
        return None
    from frontend.server.h2 import serve_h2

    return serve_h2


def _handlers(
    worker: Worker, sockets: Sockets, certificate: Certificate | None
) -> Iterator[tuple[trio.SocketListener, Handler]]:
    async def handle(stream: trio.SocketStream) -> None:
        tls = None if certificate is None else certificate.context()
        await Connection(worker, ConnectionState({}), stream, tls).run()

    async def handle_admin(stream: trio.SocketStream) -> None:
        if not is_own_peer(stream.socket):
            await trio.aclose_forcefully(stream)
            return
        await Connection(worker, ConnectionState({LOCAL_STATE: True}), stream).run()

    for listener in sockets.public:
        yield listener, handle
    if sockets.admin is not None:
        yield sockets.admin, handle_admin


def _close(sockets: Sockets) -> None:
    for listener in sockets.public:
        listener.socket.close()
    if sockets.admin is not None:
        sockets.admin.socket.close()


def _listener(bound: socket.socket) -> trio.SocketListener:
    return trio.SocketListener(trio.socket.from_stdlib_socket(bound))
