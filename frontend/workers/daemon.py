"""The daemon's process: the store, behind a Unix socket.

`<data>/run/daemon.sock`   the seven verbs (folder 0700)
"""

import os
from pathlib import Path

import trio

from cas.local import open_store
from cas.remote.daemon import serve_store
from cas.sockets import DAEMON_SOCKET
from frontend.bootstrap import prepare
from frontend.greeting import FirstStart
from frontend.server.binding import bind_private
from frontend.storing import store_settings
from frontend.workers.lifeline import Lifeline
from frontend.workers.orders import Order, Ready


async def run(order: Order, lifeline: Lifeline) -> None:
    """Serve the store until the lifeline ends.

    Raises:
        OSError: the data directory cannot be used.
        PasswordUnusable: the administrator's, at the first start.
        IndexFault, CasError: the store cannot be opened, or failed.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_serve, order, lifeline)
        await lifeline.wait_end()
        nursery.cancel_scope.cancel()


async def _serve(order: Order, lifeline: Lifeline) -> None:
    settings = order.settings
    data = Path(settings.storage.data)
    async with open_store(data, store_settings(settings)) as store:
        first = await prepare(store, data, os.environ, is_terminal=order.is_terminal)
        path = data / DAEMON_SOCKET
        # Bound anew each time: connections to a daemon that died must fail, not wait for the next.
        with bind_private(path) as listener:
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(serve_store, store, listener)
                    lifeline.say(_ready(first))
            finally:
                path.unlink(missing_ok=True)


def _ready(first: FirstStart | None) -> Ready:
    if first is None:
        return Ready()
    file = None if first.file is None else str(first.file)
    return Ready(is_first=True, password=first.password, file=file)
