"""Clearing: what deleted repositories held is taken apart while pushes and pulls go on.

It begins with the deletion, goes on at the next start if the process ended meanwhile, and is a
part of every collection: all that is left to do stands in the index (`index.clearing`).
"""

import time
from functools import partial
from typing import Final

import trio

from cas.works import Works
from index.clearing import clear_slice
from index.repositories import iter_leaving
from index.view import View

ROWS: Final = 256  # rows of one transaction, as a collection's
REST: Final = 1.0  # for each second of work


class Clearer:
    """Takes deleted repositories apart; one per store."""

    def __init__(self, works: Works) -> None:
        self._works = works
        self._alone = trio.Lock()
        self._woken = trio.Event()
        self._woken.set()  # an earlier process may have left some

    def wake(self) -> None:
        """A repository was deleted."""
        self._woken.set()

    async def wait_woken(self) -> None:
        """Wait until there may be something to do."""
        await self._woken.wait()
        self._woken = trio.Event()

    async def clear(self) -> int:
        """Go on until nothing is left of any deleted repository; returns of how many.

        One look, and nothing else, when there is none.

        Raises:
            NoSpace, WriterBusy, IndexFailed: what went stays gone.
        """
        async with self._alone:
            gone = 0
            if not self._works.environment.read(_has_some):
                return gone
            while True:
                began = time.perf_counter()
                step = partial(clear_slice, clock=self._works.clock(), rows=ROWS)
                cleared = await self._works.writer.write(step)
                gone += cleared.gone
                if cleared.is_over:
                    return gone
                await trio.sleep(REST * (time.perf_counter() - began))


def _has_some(view: View) -> bool:
    return next(iter_leaving(view), None) is not None
