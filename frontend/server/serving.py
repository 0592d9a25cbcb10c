"""Sockets, lifespan and an orderly end: Hypercorn's `worker_serve` with our own connections.

`<data>/run/admin.sock`   the admin socket (folder 0700): same application, principal `admin`
"""

import contextlib
import logging
import os
import signal
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from frontend.server.certificate import Certificate, open_certificate
from frontend.server.connection import Connection, ServeH2, Worker
from frontend.server.deadlines import Deadlines
from frontend.server.hot import HotReads
from frontend.server.paths import ADMIN_SOCKET, connected_path
from frontend.settings import Http, listen_address

LOCAL_STATE: Final = (
    "orlop.local"  # in scope["state"]: the peer is our own user on the admin socket
)
_BACKLOG = 1024
_PEER = struct.Struct("iII")  # struct ucred: pid, uid, gid

_log = logging.getLogger("orlop.server")

Handler = Callable[[trio.SocketStream], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Sockets:
    """Bound and listening, not yet accepting."""

    public: trio.SocketListener
    admin: trio.SocketListener | None = None

    @property
    def port(self) -> int:
        """The port that was bound, when 0 was asked for."""
        number: int = self.public.socket.getsockname()[1]
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
    with _public_socket(listen) as public:
        if data is None:
            yield Sockets(_listener(public))
            return
        with _admin_socket(data) as admin:
            yield Sockets(_listener(public), _listener(admin))


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
                    accept = partial(trio.serve_listeners, handler_nursery=connections)
                    accepting.start_soon(accept, handler, [listener])
                task_status.started()
                await stop.wait()
                accepting.cancel_scope.cancel()
            _close(sockets)
            await context.terminated.set()
            deadlines.drain()
            connections.cancel_scope.deadline = trio.current_time() + settings.shutdown_seconds
        await lifespan.wait_for_shutdown()
        around.cancel_scope.cancel()


async def wait_for_signal(
    stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Set `stop` at the first SIGTERM or SIGINT; the second one ends the process at once."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            if stop.is_set():
                os._exit(1)
            stop.set()


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
        if not _is_own_user(stream.socket):
            await trio.aclose_forcefully(stream)
            return
        await Connection(worker, ConnectionState({LOCAL_STATE: True}), stream).run()

    yield sockets.public, handle
    if sockets.admin is not None:
        yield sockets.admin, handle_admin


def _is_own_user(peer: trio.socket.SocketType) -> bool:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, uid, _ = _PEER.unpack(credentials)
    return uid in (0, os.geteuid())


def _close(sockets: Sockets) -> None:
    sockets.public.socket.close()
    if sockets.admin is not None:
        sockets.admin.socket.close()


def _listener(bound: socket.socket) -> trio.SocketListener:
    bound.listen(_BACKLOG)
    return trio.SocketListener(trio.socket.from_stdlib_socket(bound))


def _public_socket(listen: str) -> socket.socket:
    """Bind `listen`; an error names it."""
    host, port = listen_address(listen)
    with contextlib.ExitStack() as undo:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            bound = undo.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError as error:
            raise OSError(error.errno, f"{listen}: {error.strerror}") from error
        undo.pop_all()
    return bound


@contextmanager
def _admin_socket(data: Path) -> Iterator[socket.socket]:
    path = data / ADMIN_SOCKET
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.parent.chmod(0o700)
    path.unlink(missing_ok=True)  # a killed server's: whoever calls us holds the directory's lock
    with connected_path(path) as short, socket.socket(socket.AF_UNIX) as bound:
        bound.bind(short)
        try:
            yield bound
        finally:
            path.unlink(missing_ok=True)
