"""A rate: never more than it says, and nobody waits who need not."""

import pytest
from hypothesis import given, strategies as st

from frontend.domain.rate import SECOND, Rate, whole_seconds

rates = st.builds(Rate, st.integers(1, 10 * SECOND), st.integers(1, 20))
pauses = st.lists(st.integers(0, 30 * SECOND), max_size=200)
START = 5 * SECOND


def passing(rate: Rate, pauses: list[int], due: int = 0) -> list[int]:
    """When those passed who came after these pauses."""
    now, passed = START, []
    for pause in pauses:
        now += pause
        if not rate.wait(due, now):
            due = rate.passed(due, now)
            passed.append(now)
    return passed


@given(rates, pauses)
def test_in_no_time_do_more_pass_than_the_burst_and_the_pace(rate, pauses):
    passed = passing(rate, pauses)

    for first, begin in enumerate(passed):
        for last, end in enumerate(passed[first:], first):
            assert last - first + 1 <= rate.burst + (end - begin) // rate.interval


@given(rates, st.integers(0, 1 << 62))
def test_a_fresh_caller_never_waits(rate, now):
    due = 0
    for _ in range(rate.burst):
        assert rate.wait(due, now) == 0
        due = rate.passed(due, now)
    assert rate.wait(due, now) == rate.interval


@given(rates, st.integers(0, 1 << 62), st.integers(0, 1 << 63))
def test_who_waits_as_long_as_told_passes_and_not_a_moment_before(rate, now, due):
    held = rate.held(due, now)
    wait = rate.wait(held, now)

    assert rate.wait(held, now + wait) == 0
    assert wait == 0 or rate.wait(held, now + wait - 1) == 1
    assert wait <= rate.interval  # whatever the rate was before


@given(rates, st.integers(0, 20))
def test_taking_one_back_lets_one_more_pass(rate, before):
    due = 0
    for _ in range(min(before, rate.burst)):
        due = rate.passed(due, START)
    spent = rate.passed(due, START)

    assert rate.wait(rate.taken_back(spent), START) == rate.wait(due, START)


@pytest.mark.parametrize(("wait", "seconds"), [(1, 1), (SECOND, 1), (SECOND + 1, 2)])
def test_whole_seconds_are_never_too_few(wait, seconds):
    assert whole_seconds(wait) == seconds


def test_a_rate_of_a_count_in_seconds():
    assert Rate.of(10, 300, 10) == Rate(30 * SECOND, 10)
    assert Rate.of(0.5, 1, 3) == Rate(2 * SECOND, 3)
