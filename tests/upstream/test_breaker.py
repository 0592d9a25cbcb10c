"""The circuit breaker: who may ask, and when."""

import pytest
from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from frontend.domain.fields import MAX_WAIT, Rate
from frontend.upstream.breaker import FAILURES, FIRST, LIMITED, MOST, Breaker, Permit, Rest, State


def breaker(jitter=0.0):
    return Breaker(0.0, lambda: jitter)


def permit(breaker, now=0.0):
    found = breaker.admit(now)
    assert isinstance(found, Permit)
    return found


def opened(now=0.0):
    found = breaker()
    for _ in range(FAILURES):
        found.fail(permit(found, now), now, "no connection")
    return found


def test_failures_in_a_row_open_it_and_others_do_not():
    one = breaker()
    for _ in range(10):
        for _ in range(FAILURES - 1):
            one.fail(permit(one), 0.0, "x")
        one.succeed(permit(one), 0.0)

    assert one.health(0.0).state is State.CLOSED
    assert opened().health(0.0).state is State.OPEN


def test_nobody_asks_while_it_rests():
    one = opened()

    assert one.admit(0.25) == Rest(FIRST - 0.25)
    assert one.health(0.25).retry_in == FIRST - 0.25
    assert one.health(0.25).requests == FAILURES


def test_one_tries_and_the_others_wait_for_it():
    one = opened()

    trial = permit(one, FIRST)

    assert trial.is_trial
    assert isinstance(one.admit(FIRST), Rest)
    one.succeed(trial, FIRST)
    assert not permit(one, FIRST).is_trial


def test_who_tries_and_goes_away_leaves_the_trial_to_the_next():
    one = opened()

    one.abandon(permit(one, FIRST))

    assert permit(one, FIRST).is_trial


def test_each_rest_is_twice_the_one_before_up_to_a_minute():
    one, now, rests = opened(), 0.0, []

    for _ in range(12):
        rests.append(one.health(now).retry_in)
        now += rests[-1]
        one.fail(permit(one, now), now, "x")

    assert rests[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert rests[-1] == MOST


def test_after_a_success_rests_are_short_again():
    one = opened()
    one.fail(permit(one, 1.0), 1.0, "x")
    one.succeed(permit(one, 10.0), 10.0)

    for _ in range(FAILURES):
        one.fail(permit(one, 10.0), 10.0, "x")

    assert one.health(10.0).retry_in == FIRST


def test_a_429_opens_it_at_once_for_as_long_as_it_says():
    one = breaker()

    one.limit(permit(one), 0.0, "429", 300.0)

    assert one.admit(299.0) == Rest(1.0, is_limited=True)
    assert permit(one, 300.0).is_trial


def test_a_429_that_says_nothing_is_believed_for_a_minute():
    one = breaker()

    one.limit(permit(one), 0.0, "429")

    assert one.health(0.0).retry_in == LIMITED


def test_a_wish_of_a_failing_server_is_respected_too():
    one = breaker()

    one.fail(permit(one), 0.0, "503", 120.0)

    assert one.admit(119.0) == Rest(1.0)


def test_what_older_requests_found_out_changes_nothing():
    one = breaker()
    old = [permit(one) for _ in range(4)]
    one.limit(old[0], 0.0, "429", 100.0)

    one.succeed(old[1], 1.0)
    one.fail(old[2], 1.0, "x")

    assert one.admit(2.0) == Rest(98.0, is_limited=True)
    one.limit(old[3], 2.0, "429", 200.0)  # but for a longer wish
    assert one.admit(2.0) == Rest(200.0, is_limited=True)


@given(st.floats(0, 1), st.integers(0, 100))
def test_a_rest_is_shortened_by_half_at_most(jitter, rests):
    one, now = breaker(jitter), 0.0
    for _ in range(FAILURES):
        one.fail(permit(one), now, "x")
    for _ in range(rests):
        now += one.health(now).retry_in
        one.fail(permit(one, now), now, "x")

    full = min(MOST, FIRST * 2.0 ** min(rests, 30))
    assert full / 2 - 1e-6 <= one.health(now).retry_in <= full + 1e-6


def test_figures_are_shown():
    one = opened(5.0)
    one.learn(Rate(100, 21600), Rate(76, 21600))
    one.learn(None, Rate(75, 21600))
    one.bytes_fetched += 10

    health = one.health(5.5)

    assert (health.limit, health.remaining) == (Rate(100, 21600), Rate(75, 21600))
    assert (health.since, health.failed_at, health.last_error) == (5.0, 5.0, "no connection")
    assert (health.requests, health.failures, health.bytes_fetched) == (3, 3, 10)


class BreakerModel(RuleBasedStateMachine):
    """Whatever happens: no request within a rest, one at a time when half open, no dead end."""

    def __init__(self):
        super().__init__()
        self.now, self.one, self.permits, self.until = 0.0, breaker(), [], 0.0

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 60.0, MAX_WAIT]))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def ask(self):
        found = self.one.admit(self.now)
        if isinstance(found, Permit):
            assert self.now >= self.until
            self.permits.append(found)
        else:
            assert 0 < found.seconds <= MAX_WAIT

    @precondition(lambda self: self.permits)
    @rule(what=st.sampled_from(["succeed", "fail", "limit", "abandon"]), which=st.integers(0, 9),
          wish=st.sampled_from([None, 0.0, 5.0, MAX_WAIT]))  # fmt: skip
    def settle(self, what, which, wish):
        permit = self.permits.pop(which % len(self.permits))
        if what == "succeed":
            self.one.succeed(permit, self.now)
        elif what == "abandon":
            self.one.abandon(permit)
        else:
            getattr(self.one, what)(permit, self.now, "x", wish)
        health = self.one.health(self.now)
        if health.state is State.OPEN:
            self.until = self.now + health.retry_in

    @invariant()
    def at_most_one_tries(self):
        era = max((permit.era for permit in self.permits if permit.is_trial), default=-1)
        trials = [permit for permit in self.permits if permit.is_trial and permit.era == era]
        assert len(trials) <= 1

    def teardown(self):
        for permit in self.permits:
            self.one.abandon(permit)
        assert isinstance(self.one.admit(self.now + MAX_WAIT), Permit)


TestBreaker = BreakerModel.TestCase


def test_the_wait_is_never_longer_than_a_day():
    one = breaker()

    one.limit(permit(one), 0.0, "429", 1e12)

    assert one.health(0.0).retry_in == pytest.approx(MAX_WAIT)
