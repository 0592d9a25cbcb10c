"""Logins on their way to the journal: few, of bounded number, and nothing secret among them."""

import pytest

from frontend.access.logins import HOUR, MAX_FAILED, MAX_TOLD, MAX_WAITING, Logins
from frontend.domain.message import Principal

ADA = Principal("ada", via="password")
HERE, ELSEWHERE = "192.0.2.1", "198.51.100.1"


class Clock:
    def __init__(self):
        self.now = 1_700_000_000_000

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def logins(clock):
    return Logins(clock)


def test_a_login_is_told_once_an_hour_for_each_address_and_way(logins, clock):
    for _ in range(3):
        logins.succeed(ADA, HERE)
    logins.succeed(ADA, ELSEWHERE)
    logins.succeed(Principal("ada", via="token:7"), HERE)

    (first, *others) = logins.take()
    assert (first.action, first.actor, first.via, first.address, first.at) == (
        "login", "ada", "password", HERE, clock.now,
    )  # fmt: skip
    assert [(each.via, each.address) for each in others] == [
        ("password", ELSEWHERE),
        ("token:7", HERE),
    ]

    clock.now += HOUR - 1
    logins.succeed(ADA, HERE)
    assert logins.take() == []
    clock.now += 1
    logins.succeed(ADA, HERE)
    assert len(logins.take()) == 1


def test_failures_are_one_entry_for_each_account_and_address_with_their_number(logins, clock):
    for _ in range(3):
        logins.fail("ada", HERE)
        clock.now += 1000
    logins.refuse("ada", HERE)
    logins.fail("bob", HERE)

    ada, bob = logins.take()
    assert (ada.action, ada.actor, ada.target, ada.address) == ("login.failed", "", "ada", HERE)
    assert ada.at == clock.now - 3000
    assert ada.detail == {"failed": 3, "refused": 1}
    assert (bob.target, bob.detail) == ("bob", {"failed": 1})
    assert logins.take() == []


def test_a_client_of_ipv6_is_one_whichever_of_its_addresses_it_has(logins):
    for number in range(3):
        logins.fail("ada", f"2001:db8::{number + 1}")
    logins.fail("ada", "2001:db8:0:1::1")

    told = [(each.address, each.detail) for each in logins.take()]
    assert told == [("2001:db8::1", {"failed": 3}), ("2001:db8:0:1::1", {"failed": 1})]


def test_whatever_is_tried_few_are_kept_and_all_are_counted(logins, clock):
    """And few in an hour: or whoever guesses would push out of the journal what others did."""
    clock.now -= clock.now % HOUR
    found = []
    for minute in range(60):
        for number in range(1000):
            logins.fail(f"user-{minute}-{number}", HERE)
        found += logins.take()
        clock.now += 59_000

    assert len([each for each in found if each.target]) == MAX_FAILED
    assert len(found) <= MAX_FAILED + 60
    assert sum(each.detail["failed"] for each in found) == 60_000
    clock.now += HOUR
    logins.fail("ada", HERE)
    assert [(each.target, each.address) for each in logins.take()] == [("ada", HERE)]


def test_whoever_logs_in_few_are_kept(logins):
    for number in range(2 * MAX_TOLD):
        logins.succeed(Principal(f"user-{number}"), HERE)
        if number % 100 == 0:
            assert len(logins.take()) <= MAX_WAITING
    assert len(logins._told) == MAX_TOLD


def test_a_login_that_had_no_room_is_told_later(logins):
    for number in range(MAX_WAITING):
        logins.succeed(Principal(f"user-{number}"), HERE)
    logins.succeed(ADA, HERE)
    assert "ada" not in [each.actor for each in logins.take()]

    logins.succeed(ADA, HERE)
    assert [each.actor for each in logins.take()] == ["ada"]
