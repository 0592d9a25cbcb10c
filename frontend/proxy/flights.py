"""One at a time for each key: whoever asks meanwhile gets the same outcome.

The work is done by a task of its own, so that it does not end when the first who asked leaves.
"""

import copy
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

import trio

from frontend.errors import KNOWN_ERRORS
from frontend.upstream.errors import UpstreamDenied, UpstreamFault, UpstreamMissing, UpstreamResting

MAX_REMEMBERED: Final = 4096  # failures; some 500 bytes each

_log = logging.getLogger("orlop.proxy")


def tell(what: str, error: Exception) -> None:
    """Log why something could not be had, once for all who wait; what is missing is no news."""
    if isinstance(error, UpstreamMissing | UpstreamDenied | UpstreamResting):
        return
    if isinstance(error, UpstreamFault):
        _log.warning("%s could not be had: %s", what, error.told)
    elif isinstance(error, KNOWN_ERRORS):
        _log.warning("%s could not be had: %s", what, error)
    else:
        _log.error("%s could not be had", what, exc_info=error)


@dataclass(slots=True)
class _Flight:
    landed: trio.Event = field(default_factory=trio.Event)
    error: Exception | None = None


class Flights:
    """Work under way in this process, and how it failed a moment ago."""

    def __init__(self, clock: Callable[[], float] = trio.current_time) -> None:
        self._clock = clock
        self._nursery: trio.Nursery | None = None
        self._flights: dict[Hashable, _Flight] = {}
        self._failed: OrderedDict[Hashable, tuple[float, Exception]] = OrderedDict()

    def use(self, nursery: trio.Nursery) -> None:
        """Begin: `nursery` outlives every request."""
        self._nursery = nursery

    async def run(self, key: Hashable, work: Callable[[], Awaitable[None]]) -> None:
        """Have `work` done, by whoever asked first, unless it failed a moment ago.

        Raises:
            Exception: what `work` raised, for everybody who waited.
        """
        self.check(key)
        flight = self._flights.get(key)
        if flight is None:
            if self._nursery is None:
                raise LookupError("no nursery")
            flight = self._flights[key] = _Flight()
            self._nursery.start_soon(self._fly, key, flight, work)
        await flight.landed.wait()
        if flight.error is not None:
            raise copy.copy(flight.error)  # each has a traceback of its own

    def check(self, key: Hashable) -> None:
        """Raise how it failed, if that is remembered."""
        until, error = self._failed.get(key, (0.0, None))
        if error is not None and self._clock() < until:
            raise copy.copy(error)

    def remember(self, key: Hashable, error: Exception, seconds: float) -> None:
        """Answer those who ask within `seconds` with this error."""
        self._failed[key] = (self._clock() + seconds, error)
        self._failed.move_to_end(key)
        while len(self._failed) > MAX_REMEMBERED:
            self._failed.popitem(last=False)

    def forget(self, key: Hashable) -> None:
        """It may succeed now."""
        self._failed.pop(key, None)

    async def _fly(
        self, key: Hashable, flight: _Flight, work: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must be told
            tell(" ".join(map(str, key)) if isinstance(key, tuple) else str(key), error)
            flight.error = error
        finally:
            del self._flights[key]
            flight.landed.set()
