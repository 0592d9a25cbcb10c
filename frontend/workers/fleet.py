"""The processes of one server: what each is told, what it inherits, and who is there."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import msgspec

from frontend.server.binding import Bound
from frontend.settings import Settings
from frontend.workers.keeper import Keeper, Start
from frontend.workers.orders import Order, Shared
from frontend.workers.process import Process, start_process
from frontend.workers.shares import Shares

DAEMON: Final = "daemon"
# Beyond `http.shutdown_seconds`: what takes longer to end than it may is stuck.
_BEYOND_SECONDS: Final = 10.0


class Fleet:
    """Makes the keepers of a server's processes, and knows all of them."""

    def __init__(self, bound: Bound, environment: Mapping[str, str], *, is_terminal: bool) -> None:
        self._bound = bound
        self._environment = environment
        self._is_terminal = is_terminal
        self._shares = Shares.make()
        self._slots: set[int] = set()
        self._keepers: list[Keeper] = []

    def daemon(self, settings: Settings) -> Keeper:
        """The one that writes."""
        order = Order(name=DAEMON, role="daemon", settings=settings, is_terminal=self._is_terminal)
        return self._keeper(order, partial(start_process, order, self._environment))

    def worker(self, number: int, workers: int, settings: Settings, url: str) -> Keeper:
        """Worker `number` of `workers`."""
        if self._bound.admin is None:
            raise LookupError("the admin socket")  # bound before any worker is made
        shared = Shared(
            public=tuple(each.fileno() for each in self._bound.public),
            admin=self._bound.admin.fileno(),
            shares=self._shares.descriptor,
            url=url,
            workers=workers,
        )
        order = Order(name=f"worker {number}", role="worker", settings=settings, shared=shared)
        return self._keeper(order, partial(self._start_worker, order))

    def retire_workers(self) -> None:
        """Let all workers end, also those that are being replaced or just came."""
        for keeper in self._keepers:
            if keeper.name != DAEMON:
                keeper.retire()

    def kill(self) -> None:
        """End every process now."""
        for keeper in self._keepers:
            keeper.kill()

    def _keeper(self, order: Order, start: Start) -> Keeper:
        self._keepers = [each for each in self._keepers if not each.ended.is_set()]
        grace = order.settings.http.shutdown_seconds + _BEYOND_SECONDS
        keeper = Keeper(order.name, start, grace)
        self._keepers.append(keeper)
        return keeper

    @asynccontextmanager
    async def _start_worker(self, order: Order) -> AsyncIterator[Process]:
        """Start a worker on a slot of its own; it is free when the process is gone."""
        slot = self._shares.free_slot(self._slots)
        self._slots.add(slot)
        try:
            own = msgspec.structs.replace(order, slot=slot)
            async with start_process(own, self._environment) as process:
                yield process
        finally:
            self._shares.clear(slot)
            self._slots.discard(slot)
