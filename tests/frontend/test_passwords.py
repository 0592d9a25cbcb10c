"""Verifying passwords: right, once, in bounded numbers, and forgotten in time."""

import pytest
import trio
from argon2 import PasswordHasher

from frontend.access import passwords
from frontend.access.limits import Limits
from frontend.access.passwords import (
    MAX_PASSWORD,
    REMEMBER_SECONDS,
    Passwords,
    hash_password,
    is_password,
)
from frontend.domain.faults import TooManyRequests
from frontend.settings import Limits as Settings

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
ENCODED = CHEAP.hash("right")
HERE = "192.0.2.1"
FREE = Limits.private(Settings(failed_logins=0))


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def verified(monkeypatch):
    """Every password that was really hashed."""
    seen = []

    def count(encoded, password):
        seen.append((encoded, password))
        return is_password(encoded, password)

    monkeypatch.setattr(passwords, "is_password", count)
    return seen


def test_a_hash_is_argon2id_as_recommended():
    encoded = hash_password("x")

    assert encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert is_password(encoded, "x")


@pytest.mark.parametrize("encoded", ["", "x", "$argon2id$", ENCODED[:-5]])
def test_a_broken_hash_fits_no_password(encoded):
    assert not is_password(encoded, "right")


async def test_right_is_right_and_wrong_is_wrong(clock):
    each = Passwords(FREE, clock)

    assert await each.verify("u", ENCODED, "right", HERE)
    assert not await each.verify("u", ENCODED, "wrong", HERE)


async def test_an_unknown_user_takes_the_same_work(clock, verified):
    assert not await Passwords(FREE, clock).verify("nobody", None, "right", HERE)

    assert len(verified) == 1


async def test_what_was_right_is_remembered_for_a_minute(clock, verified):
    each = Passwords(FREE, clock)
    for clock.now in (0, REMEMBER_SECONDS - 1, REMEMBER_SECONDS + 1):
        assert await each.verify("u", ENCODED, "right", HERE)

    assert len(verified) == 2


async def test_what_was_wrong_is_not_remembered(clock, verified):
    each = Passwords(FREE, clock)
    for _ in range(2):
        assert not await each.verify("u", ENCODED, "wrong", HERE)

    assert len(verified) == 2


async def test_a_changed_hash_forgets_at_once(clock):
    each = Passwords(FREE, clock)
    assert await each.verify("u", ENCODED, "right", HERE)

    assert not await each.verify("u", CHEAP.hash("new"), "right", HERE)
    assert not await each.verify("u", None, "right", HERE)


async def test_the_same_password_of_another_user_is_another_credential(clock, verified):
    each = Passwords(FREE, clock)
    await each.verify("a", ENCODED, "right", HERE)
    await each.verify("b", ENCODED, "right", HERE)

    assert len(verified) == 2


async def test_parts_cannot_be_moved_between_name_and_password(clock, verified):
    each = Passwords(FREE, clock)
    await each.verify("a\0b", ENCODED, "right", HERE)
    await each.verify("a", ENCODED, "b\0right", HERE)

    assert len(verified) == 2


async def test_many_at_once_are_verified_once(clock, verified):
    each = Passwords(FREE, clock)
    results = []

    async def ask():
        results.append(await each.verify("u", ENCODED, "right", HERE))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)

    assert results == [True] * 20
    assert len(verified) == 1


async def test_when_the_one_who_verifies_is_cancelled_another_does_it(clock, monkeypatch):
    each = Passwords(FREE, clock)
    began, go_on = trio.Event(), trio.Event()
    verify = each._verify

    async def slow(encoded, password):
        began.set()
        await go_on.wait()
        return await verify(encoded, password)

    monkeypatch.setattr(each, "_verify", slow)
    results = []

    async def first(scope):
        with scope:
            await each.verify("u", ENCODED, "right", HERE)

    async def second():
        results.append(await each.verify("u", ENCODED, "right", HERE))

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(first, scope)
        await began.wait()
        nursery.start_soon(second)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        go_on.set()

    assert results == [True]


async def test_more_than_can_wait_are_told_to_come_back(clock, monkeypatch):
    each = Passwords(FREE, clock)
    refused = []

    async def never(encoded, password):
        await trio.sleep_forever()

    monkeypatch.setattr(each, "_verify", never)

    async def ask(number):
        try:
            await each.verify(f"user {number}", ENCODED, "x", HERE)
        except TooManyRequests as error:
            refused.append(error.retry_after)

    async with trio.open_nursery() as nursery:
        for number in range(passwords.MAX_WAITING + 3):
            nursery.start_soon(ask, number)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert refused == [1, 1, 1]


async def test_memory_of_passwords_is_bounded(clock, monkeypatch):
    monkeypatch.setattr(passwords, "MAX_REMEMBERED", 3)
    each = Passwords(FREE, clock)
    for number in range(10):
        await each.verify(f"user {number}", ENCODED, "right", HERE)

    assert len(each._remembered) == 3


async def test_an_endless_password_is_wrong_without_work(clock, verified):
    assert not await Passwords(FREE, clock).verify("u", ENCODED, "x" * (MAX_PASSWORD + 1), HERE)

    assert verified == []


async def test_after_too_many_wrong_ones_none_is_looked_at(clock, verified):
    each = Passwords(Limits.private(Settings(failed_logins=3)), clock)
    for number in range(3):
        assert not await each.verify("u", ENCODED, f"wrong {number}", HERE)

    for guess in ("wrong", "right"):
        with pytest.raises(TooManyRequests, match="too many failed logins") as refusal:
            await each.verify("u", ENCODED, guess, HERE)
        assert refusal.value.retry_after == 100

    assert len(verified) == 3
    assert await each.verify("u", ENCODED, "right", "198.51.100.1")
    assert await each.verify("v", ENCODED, "right", HERE)


async def test_a_user_who_does_not_exist_is_locked_like_any_other(clock):
    each = Passwords(Limits.private(Settings(failed_logins=3)), clock)
    for number in range(3):
        assert not await each.verify("nobody", None, f"wrong {number}", HERE)

    with pytest.raises(TooManyRequests):
        await each.verify("nobody", None, "wrong", HERE)


async def test_what_was_proven_stays_so_while_others_are_locked_out(clock):
    each = Passwords(Limits.private(Settings(failed_logins=3)), clock)
    assert await each.verify("u", ENCODED, "right", HERE)
    for number in range(3):
        assert not await each.verify("u", ENCODED, f"wrong {number}", HERE)

    assert await each.verify("u", ENCODED, "right", HERE)
    clock.now += REMEMBER_SECONDS
    with pytest.raises(TooManyRequests):
        await each.verify("u", ENCODED, "right", HERE)


async def test_many_at_once_are_no_way_around(clock, verified):
    each = Passwords(Limits.private(Settings(failed_logins=3)), clock)
    refused = []

    async def guess(number):
        try:
            await each.verify("u", ENCODED, f"wrong {number}", HERE)
        except TooManyRequests:
            refused.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(guess, number)

    assert (len(verified), len(refused)) == (3, 27)
