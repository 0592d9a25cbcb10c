"""How many may pass in a time, kept as one number: the generic cell rate algorithm.

The number is when, at the settled pace, the next one would be due (ITU-T I.371, annex A: its
"theoretical arrival time"). Who has been away may be early, by as much as a burst takes. All times
are whole nanoseconds of one clock.
"""

from dataclasses import dataclass
from typing import Final, Self

SECOND: Final = 1_000_000_000  # ns


@dataclass(frozen=True, slots=True)
class Rate:
    """One each `interval` ns; after a rest, `burst` of them at once."""

    interval: int
    burst: int

    @classmethod
    def of(cls, count: float, seconds: float, burst: int) -> Self:
        """`count` in so many `seconds`."""
        return cls(max(1, round(seconds * SECOND / count)), burst)

    def wait(self, due: int, now: int) -> int:
        """How long the next one has to wait; 0: it may pass now."""
        return max(0, due - (self.burst - 1) * self.interval - now)

    def passed(self, due: int, now: int) -> int:
        """The number after one more."""
        return max(due, now) + self.interval

    def taken_back(self, due: int) -> int:
        """The number without one that has passed."""
        return max(0, due - self.interval)

    def held(self, due: int, now: int) -> int:
        """`due`, as far ahead as a burst can have brought it: the rate may have been another."""
        return min(due, now + self.burst * self.interval)


def whole_seconds(wait: int) -> int:
    """What Retry-After says of a wait: never too little."""
    return max(1, -(-wait // SECOND))
