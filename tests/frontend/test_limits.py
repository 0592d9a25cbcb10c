"""How often one caller may ask, and how many passwords may be tried, over all processes."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from frontend.access import tallies
from frontend.access.limits import Limits
from frontend.access.tallies import private_tallies
from frontend.domain.faults import TooManyRequests
from frontend.domain.rate import SECOND
from frontend.settings import Limits as Settings

ROOT = Path(__file__).parents[2]
HERE, ELSEWHERE = "192.0.2.1", "198.51.100.1"
RATED = Settings(requests_per_second=10, burst=5)
GUESSED = Settings(
    failed_logins=3,
    failed_logins_per_account=6,
    failed_logins_per_address=8,
    failed_logins_seconds=60,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000 * SECOND

    def __call__(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def rated(clock):
    return Limits.private(RATED, clock)


@pytest.fixture
def guessed(clock):
    return Limits.private(GUESSED, clock)


def passing(limits: Limits, account: str, address: str = HERE, tries: int = 20) -> int:
    return sum(_passes(limits.check_rate, account, address) for _ in range(tries))


def failing(limits: Limits, account: str, address: str = HERE, tries: int = 20) -> int:
    """How many wrong passwords are looked at."""
    return sum(_passes(limits.begin_login, account, address) for _ in range(tries))


def _passes(function, *arguments) -> bool:
    try:
        function(*arguments)
    except TooManyRequests:
        return False
    return True


# --- requests ---


def test_without_a_limit_nothing_is_counted(clock):
    limits = Limits.private(Settings(), clock)

    assert not limits.is_rated
    assert passing(limits, "alice", tries=10_000) == 10_000


def test_a_burst_passes_and_then_the_pace(rated, clock):
    assert passing(rated, "alice") == 5
    clock.sleep(0.1)
    assert passing(rated, "alice") == 1
    clock.sleep(60)
    assert passing(rated, "alice") == 5


def test_who_is_refused_is_told_when_to_come_again(rated, clock):
    passing(rated, "alice")

    with pytest.raises(TooManyRequests, match="too many requests: try again in 1 s") as refusal:
        rated.check_rate("alice", HERE)

    clock.sleep(refusal.value.retry_after)
    rated.check_rate("alice", HERE)


def test_accounts_and_addresses_are_counted_each_by_itself(rated):
    assert passing(rated, "alice") == 5
    assert passing(rated, "bob") == 5
    assert passing(rated, "") == 5
    assert passing(rated, "", ELSEWHERE) == 5
    assert passing(rated, "alice", ELSEWHERE) == 0  # wherever it asks from
    assert passing(rated, "", HERE) == 0


def test_an_account_cannot_be_named_like_an_address(rated):
    passing(rated, HERE)

    assert passing(rated, "", HERE) == 5


def test_addresses_of_one_ipv6_network_are_one_caller(rated):
    assert passing(rated, "", "2001:db8::1") == 5
    assert passing(rated, "", "2001:db8::ffff:2") == 0
    assert passing(rated, "", "2001:db8:0:1::1") == 5


def test_sharing_one_slot_with_a_caller_who_is_at_his_limit_changes_nothing(clock):
    shared = private_tallies()
    limits = Limits(shared, RATED, clock)
    words, first, _ = limits._requests._find("alice", "")
    words[first] = clock.now + SECOND  # somebody else's

    assert passing(limits, "alice") == 5


def test_strangers_slow_nobody_down_however_many_addresses_they_have(rated):
    for number in range(800):  # what takes 8,000 requests a second, for ever
        passing(rated, "", f"10.9.{number >> 8}.{number & 255}", tries=5)

    slowed = sum(passing(rated, "", f"10.8.0.{number}", tries=5) < 5 for number in range(100))

    assert slowed <= 8
    assert passing(rated, "alice") == 5


def test_a_slower_limit_of_before_holds_nobody_up_for_long(clock):
    shared = private_tallies()
    slow = Limits(shared, Settings(requests_per_second=0.001, burst=100), clock)
    fast = Limits(shared, RATED, clock)
    passing(slow, "alice", tries=100)

    clock.sleep(1)
    assert passing(fast, "alice") <= 5
    clock.sleep(1)
    assert passing(fast, "alice") == 5


# --- passwords ---


def test_so_many_wrong_passwords_are_looked_at_and_no_more(guessed, clock):
    assert failing(guessed, "alice") == 3

    with pytest.raises(TooManyRequests, match="too many failed logins") as refusal:
        guessed.begin_login("alice", HERE)
    assert refusal.value.retry_after == 20

    clock.sleep(19)
    assert failing(guessed, "alice") == 0
    clock.sleep(1)
    assert failing(guessed, "alice") == 1
    clock.sleep(60)
    assert failing(guessed, "alice") == 3


def test_right_passwords_are_not_counted(guessed):
    for _ in range(100):
        guessed.begin_login("alice", HERE).succeed()

    assert failing(guessed, "alice") == 3


def test_right_passwords_from_new_places_are_not_counted_either(guessed):
    for number in range(20):
        guessed.begin_login("alice", f"10.0.0.{number}").succeed()
        guessed.begin_login(f"user-{number}", HERE).succeed()

    assert failing(guessed, "alice", ELSEWHERE) == 3
    assert failing(guessed, "bob", HERE) == 3


def test_a_right_password_forgives_the_wrong_ones_before_it(guessed):
    failing(guessed, "alice", tries=2)
    guessed.begin_login("alice", HERE).succeed()

    assert failing(guessed, "alice") == 3


def test_logins_under_way_count_before_their_end(guessed):
    """Or a hundred at once would all be looked at."""
    under_way = [guessed.begin_login("alice", HERE) for _ in range(3)]

    assert failing(guessed, "alice") == 0
    under_way[0].succeed()
    assert failing(guessed, "alice") == 3


def test_many_accounts_from_one_address_are_counted_together(guessed):
    assert sum(failing(guessed, f"user-{number}", tries=1) for number in range(20)) == 8
    assert failing(guessed, "alice", ELSEWHERE) == 3


def test_many_addresses_for_one_account_are_counted_together(guessed):
    found = [failing(guessed, "alice", f"10.0.0.{number}", tries=2) for number in range(10)]

    assert sum(found) == 6
    assert failing(guessed, "bob", "10.0.0.200") == 3


def test_an_owner_is_not_kept_out_from_where_he_has_logged_in_before(guessed):
    guessed.begin_login("alice", HERE).succeed()
    for number in range(10):
        failing(guessed, "alice", f"10.0.0.{number}")  # a stranger, from everywhere
    for number in range(20):
        failing(guessed, f"user-{number}", HERE)  # and one behind the same address

    guessed.begin_login("alice", HERE).succeed()

    assert not _passes(guessed.begin_login, "alice", ELSEWHERE)
    assert not _passes(guessed.begin_login, "bob", HERE)


def test_being_known_allows_no_more_guesses_from_there(guessed):
    guessed.begin_login("alice", HERE).succeed()

    assert failing(guessed, "alice", HERE) == 3


def test_succeeding_elsewhere_takes_back_nothing_of_what_failed(guessed):
    """Or an attacker with an account of his own had any number of guesses."""
    for number in range(4):
        failing(guessed, f"user-{number}", tries=2)
        if number < 3:
            guessed.begin_login("mallory", HERE).succeed()

    assert failing(guessed, "user-9") == 0


def test_accounts_of_any_name_count_the_same_and_take_no_memory(clock):
    shared = private_tallies()
    limits = Limits(shared, GUESSED, clock)
    names = ["", "x" * 10_000, "\ud800", "a\0b", "nobody", *(str(n) for n in range(100_000))]

    for number, name in enumerate(names):
        assert failing(limits, name, f"10.{number >> 14}.{(number >> 7) & 127}.1", tries=1) <= 1

    assert len(limits._requests._slots.cache_parameters()) == 2
    assert shared.logins.nbytes == 16 * tallies.SETS * tallies.WAYS
    assert failing(limits, "x" * 10_000, ELSEWHERE) in (2, 3)  # one failed, if it is remembered


def test_100_000_callers_take_no_more_memory(rated):
    for number in range(100_000):
        passing(rated, "", f"10.{number >> 16}.{(number >> 8) & 255}.{number & 255}", tries=1)

    assert rated._requests._slots.cache_info().currsize == 4096


def test_who_is_locked_stays_so_while_others_fail(clock):
    limits = Limits.private(
        msgspec.structs.replace(GUESSED, failed_logins_per_address=10**6), clock
    )
    failing(limits, "alice")
    for number in range(5_000):
        failing(limits, f"user-{number}", tries=1)

    assert failing(limits, "alice") == 0


def test_zero_means_no_limit_for_passwords(clock):
    limits = Limits.private(Settings(failed_logins=0), clock)

    assert failing(limits, "alice", tries=1000) == 1000
    limits.begin_login("alice", HERE).succeed()


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from((HERE, ELSEWHERE)),
                          st.booleans(), st.integers(0, 30)), max_size=60))  # fmt: skip
def test_never_do_more_fail_than_allowed(steps):
    clock = Clock()
    limits = Limits.private(GUESSED, clock)
    failed: dict[tuple[str, str], list[int]] = {}
    for account, address, is_right, pause in steps:
        clock.sleep(pause)
        try:
            attempt = limits.begin_login(account, address)
        except TooManyRequests:
            continue
        if is_right:
            attempt.succeed()
            failed[account, address] = []  # begins anew
        else:
            failed.setdefault((account, address), []).append(clock.now)
    for times in failed.values():
        for first, begin in enumerate(times):
            for last, end in enumerate(times[first:], first):
                assert last - first + 1 <= 3 + (end - begin) // (20 * SECOND)
