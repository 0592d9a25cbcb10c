"""One task that ends the connections whose time is over."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import trio

TICK: Final = 0.25  # seconds: how late a deadline may be noticed; 5,000 connections take 1 ms


class Mortal(Protocol):
    """What has a deadline."""

    @property
    def deadline(self) -> float:
        """On trio's clock; infinite when there is none."""

    def expire(self) -> None:
        """End, because the deadline passed, or set a new one; may be said twice."""

    def drain(self) -> None:
        """End as soon as nothing is under way."""


class Deadlines:
    """The living connections of a server."""

    def __init__(self) -> None:
        self._living: set[Mortal] = set()
        self.is_draining = False

    @contextmanager
    def watching(self, one: Mortal) -> Iterator[None]:
        """Watch over a connection for the block."""
        self._living.add(one)
        try:
            yield
        finally:
            self._living.discard(one)

    def drain(self) -> None:
        """From now on connections end after the request under way."""
        self.is_draining = True
        for one in list(self._living):
            one.drain()

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            await trio.sleep(TICK)
            now = trio.current_time()
            for one in [each for each in self._living if each.deadline <= now]:
                one.expire()
