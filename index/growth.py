"""The record of growth: how much was stored, and when; runs of a kind of their own in table `run`.

A sample's figures are `logical`, `stored` and `disk`, in bytes, as `cas.stats` counts them. With
their age samples thin out: KEPT_HOURS + KEPT_DAYS are there at most.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple

from index import keys
from index.records import Run
from index.runs import free_key, note_run
from index.transaction import Transaction
from index.view import View

KIND: Final = "growth"
KEPT_HOURS: Final = 48  # hours of which the last sample is kept
KEPT_DAYS: Final = 731  # days, with two years of history
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS


class Sample(NamedTuple):
    """What was stored at a time; sizes in bytes."""

    at: int  # milliseconds since 1970
    logical: int
    stored: int
    disk: int


def kept(times: Iterable[int]) -> set[int]:
    """Which of these times (milliseconds since 1970) stay.

    Those are the last in each of the newest KEPT_HOURS hours, and in each of the newest KEPT_DAYS
    days, that have any: hours and days are UTC's. They are counted, not measured from now, so a
    clock that is wrong for a while takes no history away. To thin again and again, as samples come,
    leaves what one thinning of all of them would.
    """
    newest_first = sorted(times, reverse=True)
    hours = _last_of_each(newest_first, HOUR_MS, KEPT_HOURS)
    return hours | _last_of_each(newest_first, DAY_MS, KEPT_DAYS)


def _last_of_each(newest_first: list[int], span: int, most: int) -> set[int]:
    found: dict[int, int] = {}
    for at in newest_first:
        found.setdefault(at // span, at)
    return set(islice(found.values(), most))


def note_growth(transaction: Transaction, sample: Sample) -> None:
    """Note a sample, and take away those that have become too many."""
    at = free_key(transaction, sample.at)
    figures: dict[str, int | float] = {
        "logical": sample.logical,
        "stored": sample.stored,
        "disk": sample.disk,
    }
    note_run(transaction, at, Run(kind=KIND, is_asked=False, ended_at=at, figures=figures))
    # What lies ahead was dated by a clock that was wrong: it must not push out what comes now.
    times = {each.at for each in _newest_first(transaction) if each.at <= at}
    for thinned in times - kept(times):
        transaction.delete("run", keys.u64(thinned))


def growth(view: View, now: int) -> list[Sample]:
    """The samples of two years up to `now` (milliseconds since 1970), the oldest first.

    What a clock dated elsewhere, while it was wrong, is left out.
    """
    first = now - KEPT_DAYS * DAY_MS
    return [each for each in _newest_first(view) if first < each.at <= now][::-1]


def _newest_first(view: View) -> Iterable[Sample]:
    for at, run in view.iter_runs():
        if run.kind == KIND:
            sizes = (int(run.figures.get(name, 0)) for name in ("logical", "stored", "disk"))
            yield Sample(at, *sizes)
