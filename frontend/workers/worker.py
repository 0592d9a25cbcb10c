"""A worker's process: it serves on shared sockets, reads the store itself, and never writes it."""

import os
import signal
import socket
from functools import partial
from pathlib import Path

import msgspec
import trio

from cas.remote.client import connect_store
from cas.sockets import DAEMON_SOCKET, connected_path
from frontend import resources
from frontend.access.limits import open_limits
from frontend.figures.counting import open_counting
from frontend.figures.reading import Figures
from frontend.server.binding import Bound
from frontend.server.serving import Sockets
from frontend.service import build_registry, serving
from frontend.settings import Settings
from frontend.storing import store_settings
from frontend.workers.lifeline import Lifeline
from frontend.workers.orders import Order, Ready, Shared
from frontend.workers.shares import Shares


async def run(order: Order, lifeline: Lifeline) -> None:
    """Serve until the lifeline ends or a SIGTERM comes; then drain.

    Raises:
        CasError, IndexFault: the store cannot be opened, or failed.
    """
    if order.shared is None:
        raise LookupError("a worker's sockets")
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(_heed_signals, stop)
        nursery.start_soon(_heed_lifeline, lifeline, stop)
        await _serve(order, order.shared, lifeline, stop)
        nursery.cancel_scope.cancel()


async def _serve(order: Order, shared: Shared, lifeline: Lifeline, stop: trio.Event) -> None:
    settings = _part(order.settings, shared.workers)
    data = Path(settings.storage.data)
    connected = connect_store(data, data / DAEMON_SOCKET, store_settings(settings))
    with open_limits(data, settings.limits) as limits, open_counting(data) as counting:
        async with connected as store:
            figures = Figures(counting, data)
            registry = build_registry(store, settings, shared.url, limits, figures)
            registry.health.can_write = partial(_is_listening, data / DAEMON_SOCKET)
            shares = Shares(shared.shares)
            sockets = Sockets.of(_inherited(shared), shares.share(order.slot))
            async with serving(registry, sockets, stop):
                resources.settle()
                lifeline.say(Ready())
                await stop.wait()
                shares.clear(order.slot)  # nobody is to leave a connection to us
                registry.health.is_draining = True


async def _heed_signals(
    stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            stop.set()


async def _heed_lifeline(lifeline: Lifeline, stop: trio.Event) -> None:
    await lifeline.wait_end()
    stop.set()


def _is_listening(path: Path) -> bool:
    """Whether somebody accepts on a Unix socket, or will in a moment; never waits."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            with connected_path(path) as short:
                probe.connect(short)
        except BlockingIOError:
            return True  # so busy that connections wait
        except OSError:
            return False
    return True


def _inherited(shared: Shared) -> Bound:
    for number in shared.descriptors:
        os.set_inheritable(number, False)
    public = [socket.socket(fileno=number) for number in shared.public]
    return Bound(public, socket.socket(fileno=shared.admin))


def _part(settings: Settings, workers: int) -> Settings:
    """The configuration with this worker's part of the limits that count for all of them."""
    limits = msgspec.structs.replace(
        settings.limits,
        concurrent_uploads=-(-settings.limits.concurrent_uploads // workers),
        uploads_per_principal=-(-settings.limits.uploads_per_principal // workers),
    )
    return msgspec.structs.replace(settings, limits=limits)
