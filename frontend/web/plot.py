"""The plot of how a store grew: from samples to places in a drawing. Pure.

Places are in percent of the drawing, from its left and from its top, so that it may be of any size
while its text keeps the size that people read.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

from frontend.web.words import size_text

POINTS: Final = 60  # points of a line: on a phone, one in five pixels; the table has a row for each
TOP: Final = 8.0  # percent above the highest tick, for half of its label
HEIGHT: Final = 80.0  # percent from there to zero; times are below
TICKS: Final = 4  # above zero, at most
_SHORT: Final = 2 * 86400  # seconds of a plot whose times have hours


@dataclass(frozen=True, slots=True)
class Point:
    """A sample: seconds since 1970, and bytes."""

    at: float
    logical: int
    stored: int
    disk: int

    @property
    def time(self) -> str:
        """For people, in UTC."""
        return f"{datetime.fromtimestamp(self.at, UTC):%Y-%m-%d %H:%M}"


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark at an axis, and what it says."""

    place: float
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Two lines over time; `logical` and `stored` are the points of a `<polyline>`."""

    points: Sequence[Point]
    logical: str
    stored: str
    sizes: Sequence[Tick]  # from zero up
    times: Sequence[Tick]  # the first, the middle and the last

    @property
    def words(self) -> str:
        """What there is to see, for who does not."""
        first, last = self.points[0], self.points[-1]
        return (
            f"From {first.time} to {last.time} UTC what was pushed went from"
            f" {size_text(first.logical)} to {size_text(last.logical)},"
            f" and what is stored from {size_text(first.stored)} to {size_text(last.stored)}."
        )


def plot(samples: Sequence[Point]) -> Plot | None:
    """Draw samples, the oldest first; None: two of different times are needed."""
    points = reduced(samples)
    if len(points) < 2:
        return None
    step, count = scale(max(max(each.logical, each.stored) for each in points))
    begin, span = points[0].at, points[-1].at - points[0].at

    def line(sizes: Sequence[int]) -> str:
        places = (
            f"{100 * (each.at - begin) / span:.2f},{_place(size / (step * count)):.2f}"
            for each, size in zip(points, sizes, strict=True)
        )
        return " ".join(places)

    marks = range(count + 1)
    form = "%d %b %H:%M" if span < _SHORT else "%Y-%m-%d"
    return Plot(
        points,
        line([each.logical for each in points]),
        line([each.stored for each in points]),
        [Tick(round(_place(mark / count), 2), size_text(mark * step)) for mark in marks],
        [Tick(place, _time(begin + span * place / 100, form)) for place in (0, 50, 100)],
    )


def scale(most: int) -> tuple[int, int]:
    """The bytes from tick to tick, and how many of them reach `most` bytes: TICKS at most.

    The step is a power of two, so that what ticks say is exact.
    """
    step = 1
    while step * TICKS < most:
        step *= 2
    return step, max(1, -(-most // step))


def reduced(points: Sequence[Point]) -> list[Point]:
    """POINTS at most, of different times: the first, and the last of each stretch of time."""
    if not points:
        return []
    begin, span = points[0].at, points[-1].at - points[0].at
    if not span:
        return [points[-1]]

    def stretch(point: Point) -> int:
        return math.ceil((POINTS - 1) * (point.at - begin) / span)

    return [list(group)[-1] for _, group in groupby(points, stretch)]


def _place(share: float) -> float:
    """How far from the top a share of the height is."""
    return TOP + HEIGHT * (1 - share)


def _time(at: float, form: str) -> str:
    return datetime.fromtimestamp(at, UTC).strftime(form)
