"""Verifying passwords: right, once, in bounded numbers, and forgotten in time."""

import pytest
import trio
from argon2 import PasswordHasher

from frontend.access import passwords
from frontend.access.passwords import (
    MAX_PASSWORD,
    REMEMBER_SECONDS,
    Passwords,
    hash_password,
    is_password,
)
from frontend.domain.faults import TooManyRequests

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
ENCODED = CHEAP.hash("right")


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
    each = Passwords(clock)

    assert await each.verify("u", ENCODED, "right")
    assert not await each.verify("u", ENCODED, "wrong")


async def test_an_unknown_user_takes_the_same_work(clock, verified):
    assert not await Passwords(clock).verify("nobody", None, "right")

    assert len(verified) == 1


async def test_what_was_right_is_remembered_for_a_minute(clock, verified):
    each = Passwords(clock)
    for clock.now in (0, REMEMBER_SECONDS - 1, REMEMBER_SECONDS + 1):
        assert await each.verify("u", ENCODED, "right")

    assert len(verified) == 2


async def test_what_was_wrong_is_not_remembered(clock, verified):
    each = Passwords(clock)
    for _ in range(2):
        assert not await each.verify("u", ENCODED, "wrong")

    assert len(verified) == 2


async def test_a_changed_hash_forgets_at_once(clock):
    each = Passwords(clock)
    assert await each.verify("u", ENCODED, "right")

    assert not await each.verify("u", CHEAP.hash("new"), "right")
    assert not await each.verify("u", None, "right")


async def test_the_same_password_of_another_user_is_another_credential(clock, verified):
    each = Passwords(clock)
    await each.verify("a", ENCODED, "right")
    await each.verify("b", ENCODED, "right")

    assert len(verified) == 2


async def test_parts_cannot_be_moved_between_name_and_password(clock, verified):
    each = Passwords(clock)
    await each.verify("a\0b", ENCODED, "right")
    await each.verify("a", ENCODED, "b\0right")

    assert len(verified) == 2


async def test_many_at_once_are_verified_once(clock, verified):
    each = Passwords(clock)
    results = []

    async def ask():
        results.append(await each.verify("u", ENCODED, "right"))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)

    assert results == [True] * 20
    assert len(verified) == 1


async def test_when_the_one_who_verifies_is_cancelled_another_does_it(clock, monkeypatch):
    each = Passwords(clock)
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
            await each.verify("u", ENCODED, "right")

    async def second():
        results.append(await each.verify("u", ENCODED, "right"))

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
    each = Passwords(clock)
    refused = []

    async def never(encoded, password):
        await trio.sleep_forever()

    monkeypatch.setattr(each, "_verify", never)

    async def ask(number):
        try:
            await each.verify(f"user {number}", ENCODED, "x")
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
    each = Passwords(clock)
    for number in range(10):
        await each.verify(f"user {number}", ENCODED, "right")

    assert len(each._remembered) == 3


async def test_an_endless_password_is_wrong_without_work(clock, verified):
    assert not await Passwords(clock).verify("u", ENCODED, "x" * (MAX_PASSWORD + 1))

    assert verified == []
