"""`index.growth`: the record of how much was stored, thinned with its age."""

import pytest
from hypothesis import given, strategies as st

from index import keys
from index.growth import (
    DAY_MS,
    HOUR_MS,
    KEPT_DAYS,
    KEPT_HOURS,
    Sample,
    growth,
    kept,
    note_growth,
)
from index.records import Run
from index.runs import begin_run, end_interrupted, is_interrupted
from tests.index.tables import write

NOW = 1_800_000_000_000
# Dense and sparse, also of clocks that were wrong.
TIMES = st.lists(
    st.one_of(
        st.integers(NOW - 3 * DAY_MS, NOW),
        st.integers(NOW - 900 * DAY_MS, NOW),
        st.integers(0, 1 << 45),
    ),
    max_size=200,
)
FEW = {"KEPT_HOURS": 3, "KEPT_DAYS": 4}


@pytest.fixture
def is_short(monkeypatch):
    for name, value in FEW.items():
        monkeypatch.setattr(f"index.growth.{name}", value)


def sampled(environment, *samples):
    for sample in samples:
        write(environment, lambda t, sample=sample: note_growth(t, sample))


def sample(at: int) -> Sample:
    return Sample(at, at + 1, at + 2, at + 3)


def test_two_days_of_hours_and_two_years_of_days_are_kept():
    every_hour = range(NOW, NOW - 1000 * DAY_MS, -HOUR_MS)

    left = sorted(kept(every_hour), reverse=True)

    assert left[:KEPT_HOURS] == list(every_hour[:KEPT_HOURS])
    days = [at // DAY_MS for at in left[KEPT_HOURS:]]
    assert days == [days[0] - number for number in range(len(days))]
    assert KEPT_DAYS - 3 <= len(days) <= KEPT_DAYS
    assert all(at // HOUR_MS % 24 == 23 for at in left[KEPT_HOURS:])  # the last of its day
    assert (KEPT_HOURS, KEPT_DAYS) == (48, 731)  # docs/formats/index.md says so


@given(TIMES)
def test_what_stays_was_there_and_is_bounded(times):
    left = kept(times)

    assert left <= set(times)
    assert len(left) <= KEPT_HOURS + KEPT_DAYS
    assert kept(left) == left


@given(TIMES)
def test_the_newest_stays_and_so_does_one_of_each_of_the_newest_days(times):
    left = kept(times)

    assert max(times, default=0) == max(left, default=0)
    assert {at // DAY_MS for at in left} >= set(
        sorted({at // DAY_MS for at in times})[-KEPT_DAYS:],
    )


def test_to_thin_as_samples_come_is_to_thin_once(is_short):
    @given(TIMES)
    def check(times):
        left: set[int] = set()
        for at in sorted(times):
            left = kept(left | {at})
        assert left == kept(times)

    check()


def test_samples_come_back_the_oldest_first(environment):
    sampled(environment, sample(NOW - HOUR_MS), sample(NOW))

    found = environment.read(lambda v: growth(v, NOW))

    assert found == [sample(NOW - HOUR_MS), sample(NOW)]


def test_sizes_may_be_as_large_as_any(environment):
    sampled(environment, Sample(NOW, 0, 1 << 60, (1 << 63) - 1))

    assert environment.read(lambda v: growth(v, NOW)) == [Sample(NOW, 0, 1 << 60, (1 << 63) - 1)]


def test_a_note_takes_away_what_is_too_much_and_nothing_of_other_kinds(environment, is_short):
    write(environment, lambda t: begin_run(t, 5, Run(kind="gc", ended_at=6)))
    times = [NOW - number * HOUR_MS for number in range(24 * 8)]

    sampled(environment, *map(sample, reversed(times)))

    left = [each.at for each in environment.read(lambda v: growth(v, NOW))]
    assert left == sorted(kept(times))
    assert len(left) <= sum(FEW.values())
    assert environment.read(lambda v: v.get("run", keys.u64(5))) is not None


def test_a_sample_takes_the_place_of_no_run(environment):
    write(environment, lambda t: begin_run(t, NOW, Run(kind="gc", ended_at=NOW)))

    sampled(environment, sample(NOW))

    assert environment.read(lambda v: v.entries("run")) == 2
    assert environment.read(lambda v: growth(v, NOW + 1))[0].logical == NOW + 1


def test_a_sample_is_no_run_that_a_crash_interrupted(environment):
    sampled(environment, sample(NOW))

    assert not environment.read(is_interrupted)
    assert write(environment, lambda t: end_interrupted(t, NOW)) == 0


def test_what_a_wrong_clock_dated_is_not_told(environment):
    sampled(environment, sample(5), sample(NOW - 1), sample(NOW + 9 * DAY_MS))

    assert environment.read(lambda v: growth(v, NOW)) == [sample(NOW - 1)]
