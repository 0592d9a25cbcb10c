"""Whether an upstream may be asked now: a circuit breaker, pure, on times that are handed in.

closed    all may ask; FAILURES in a row open it, and a 429 does at once
open      nobody may, until the rest is over: what was wished for (Retry-After), or FIRST seconds,
          twice as long each time, and up to a half of it less, so that servers do not come together
half-open one may try: if it succeeds all is well, if it fails a longer rest begins
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from frontend.domain.fields import MAX_WAIT, Rate

FAILURES: Final = 3  # in a row: one is an accident, and a pull asks several times a second
FIRST: Final = 1.0  # seconds
MOST: Final = 60.0  # seconds, where nothing else is wished for
LIMITED: Final = 60.0  # seconds after a 429 that does not say how long
TRYING: Final = 1.0  # seconds after which to come again while another one tries


class State(StrEnum):
    """What the breaker says to the next request."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Permit:
    """That a request may be made; what became of it is told to `succeed`, `fail` or `abandon`."""

    era: int  # between two changes of state; what an older one found out changes nothing
    is_trial: bool = False


@dataclass(frozen=True, slots=True)
class Rest:
    """That none may, for so many seconds; and whether a 429 was the reason."""

    seconds: float
    is_limited: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """Figures for people and metrics. `since` and `failed_at` are in the clock's seconds."""

    state: State
    since: float
    retry_in: float  # seconds; 0: now
    last_error: str
    failed_at: float | None
    limit: Rate | None  # what the upstream says of its rate limit
    remaining: Rate | None
    requests: int
    failures: int
    bytes_fetched: int
    is_failing: bool = False  # the last thing that was found out is a failure

    def at(self, since: float, failed_at: float | None) -> "Health":
        """The same with times of another clock."""
        return replace(self, since=since, failed_at=failed_at)


class Breaker:
    """One upstream's state and figures. Nothing here waits, or looks at a clock."""

    def __init__(self, now: float, jitter: Callable[[], float] = random.random) -> None:
        """`jitter` says, from 0 to 1, how much of the half a rest is shortened by."""
        self._jitter = jitter
        self._state, self._since, self._era = State.CLOSED, now, 0
        self._until, self._is_limited = now, False
        self._in_row, self._rests = 0, 0
        self._is_tried, self._is_failing = False, False
        self._last_error, self._failed_at = "", None  # type: str, float | None
        self._limit: Rate | None = None
        self._remaining: Rate | None = None
        self.requests, self.failures, self.bytes_fetched = 0, 0, 0

    def admit(self, now: float) -> Permit | Rest:
        """Ask to make a request."""
        if self._state is State.OPEN:
            if now < self._until:
                return Rest(self._until - now, self._is_limited)
            self._change(State.HALF_OPEN, now)
        if self._state is State.HALF_OPEN:
            if self._is_tried:
                return Rest(TRYING, self._is_limited)
            self._is_tried = True
        self.requests += 1
        return Permit(self._era, self._state is State.HALF_OPEN)

    def succeed(self, permit: Permit, now: float) -> None:
        """The upstream answered, whatever it said of the thing asked for."""
        if permit.era != self._era:
            return
        self._in_row, self._is_failing = 0, False
        if permit.is_trial:
            self._rests, self._is_limited = 0, False
            self._change(State.CLOSED, now)

    def fail(self, permit: Permit, now: float, why: str, wish: float | None = None) -> None:
        """It did not answer, or with 5xx; `wish` is its Retry-After."""
        self.note(now, why)
        if permit.era != self._era:
            return
        self._in_row += 1
        if permit.is_trial or wish is not None or self._in_row >= FAILURES:
            self._rest(now, max(self._backoff(FIRST, MOST), wish or 0.0), is_limited=False)

    def limit(self, permit: Permit, now: float, why: str, wish: float | None = None) -> None:
        """It answered 429; as long as it wishes, nobody asks."""
        self.note(now, why)
        seconds = self._backoff(LIMITED, 15 * LIMITED) if wish is None else max(wish, FIRST)
        if permit.era == self._era:
            self._rest(now, seconds, is_limited=True)
        elif self._state is State.OPEN and wish is not None:
            self._until = max(self._until, now + min(seconds, MAX_WAIT))

    def abandon(self, permit: Permit) -> None:
        """Whoever asked went away before there was an answer."""
        if permit.era == self._era:
            self._is_tried = False

    def learn(self, limit: Rate | None, remaining: Rate | None) -> None:
        """Note what an answer said of the rate limit."""
        self._limit = limit or self._limit
        self._remaining = remaining or self._remaining

    def health(self, now: float) -> Health:
        """All figures, as they are."""
        retry_in = max(0.0, self._until - now) if self._state is State.OPEN else 0.0
        return Health(
            self._state, self._since, retry_in, self._last_error, self._failed_at,
            self._limit, self._remaining, self.requests, self.failures, self.bytes_fetched,
            self._is_failing,
        )  # fmt: skip

    def note(self, now: float, why: str) -> None:
        """Count and show a failure, which changes nothing by itself."""
        self.failures += 1
        self._last_error, self._failed_at, self._is_failing = why, now, True

    def _backoff(self, first: float, most: float) -> float:
        """The next rest: never longer than `most`, never shorter than half of `first`."""
        full = min(most, first * 2.0 ** min(self._rests, 32))
        return full * (1.0 - self._jitter() / 2)

    def _rest(self, now: float, seconds: float, *, is_limited: bool) -> None:
        self._until, self._is_limited = now + min(seconds, MAX_WAIT), is_limited
        self._rests += 1
        self._in_row = 0
        self._change(State.OPEN, now)

    def _change(self, state: State, now: float) -> None:
        self._state, self._since, self._is_tried = state, now, False
        self._era += 1
