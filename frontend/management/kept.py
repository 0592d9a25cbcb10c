"""Counts of what is stored, for whoever asks: kept for a while where to count takes long."""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from cas.stats import Stats

_A_SECOND: Final = 50_000  # objects, which take some 20 ms to count: 2 % of a core at most
_MOST: Final = 60.0  # seconds


class Kept:
    """The last count, and when it is too old. Who asks while one counts gets that one's."""

    def __init__(self, count: Callable[[], Awaitable[Stats]]) -> None:
        self._count = count
        self._lock = trio.Lock()
        self._found: Stats | None = None
        self._until = 0.0  # of trio's clock

    async def find(self) -> Stats:
        """What is stored: now, or with 50,000 objects and more a moment ago.

        Raises:
            CasError, IndexFault: it could not be counted.
        """
        async with self._lock:
            if self._found is None or trio.current_time() >= self._until:
                self._found = await self._count()
                seconds = min(self._found.objects // _A_SECOND, _MOST)
                self._until = trio.current_time() + seconds
            return self._found
