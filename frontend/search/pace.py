"""How a search shares a process: it lets others run every fraction of a millisecond, and ends.

A thread that computes holds Python's lock until somebody who wants it has waited for 5 ms, which
one request on the event loop would notice. `time.sleep(0)` lets it go.
"""

import time
from collections.abc import Callable
from typing import Final

from frontend.domain.search_faults import SearchTooBroad

SLICE_SECONDS: Final = 500e-6  # of work between two chances for others
BUDGET_SECONDS: Final = 2.0  # of a search; a snapshot that lives for long makes the index grow


class Pace:
    """One search under way. `check` is called at each rest, and may raise: its client has left."""

    def __init__(
        self,
        check: Callable[[], None] = lambda: None,
        *,
        budget: float = BUDGET_SECONDS,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._check = check
        self._budget = budget
        self._clock = clock
        self._end = clock() + budget
        self._until = clock() + SLICE_SECONDS

    def step(self) -> None:
        """Say that a little was done, some microseconds of it; rests when that was enough.

        Raises:
            SearchTooBroad: the time is up.
            Whatever `check` raises.
        """
        if self._clock() >= self._until:
            self.rest()

    def rest(self) -> None:
        """Let others run, and see whether to go on; raises as `step`."""
        self._check()
        if self._clock() >= self._end:
            raise SearchTooBroad(self._budget)
        time.sleep(0)
        self._until = self._clock() + SLICE_SECONDS
