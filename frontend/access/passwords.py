"""Argon2id in threads, two at a time, and a short memory of what was right.

Clients send Basic with every request and a verification takes 32 ms, so a right password is
remembered for a minute, under a keyed hash; nothing else of it is kept.
"""

import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from blake3 import blake3

from frontend.access.limits import Attempt, Limits
from frontend.domain.faults import TooManyRequests

REMEMBER_SECONDS: Final = 60.0
MAX_REMEMBERED: Final = 4096  # credentials; about 200 bytes each
MAX_WAITING: Final = 64  # verifications: at two in 32 ms, the last one waits a second
MIN_PASSWORD: Final = 8  # bytes. Source: NIST SP 800-63B, 5.1.1.2
MAX_PASSWORD: Final = 1024  # bytes that are hashed at all

# Source: OWASP Password Storage: argon2id, 19 MiB, t=2, p=1.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
# Verified against when there is no such user, so that both take the same time.
_NOBODY: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1$T3Jsb3AncyBub2JvZHkh$"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)


def hash_password(password: str) -> str:
    """Hash for keeping; takes 32 ms and 19 MiB."""
    return _HASHER.hash(password)


def is_password(encoded: str, password: str) -> bool:
    """Whether `password` is what `encoded` was made of; takes 32 ms and 19 MiB."""
    try:
        return _HASHER.verify(encoded, password)
    except (VerificationError, InvalidHashError):
        return False


@dataclass(slots=True)
class _Flight:
    """A verification under way, and everybody who waits for its result."""

    landed: trio.Event
    is_right: bool | None = None  # None: its task was cancelled, somebody else must do it


class Passwords:
    """Verifies, remembers, and does the work once for all who ask the same at the same time."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()  # name of a credential → until
        self._flights: dict[bytes, _Flight] = {}
        self._limiter = trio.CapacityLimiter(2)
        self._waiting = 0

    async def verify(self, user: str, encoded: str | None, password: str, address: str) -> bool:
        """Whether `password` is right for `encoded`, the user's hash; None: there is no such user.

        Raises:
            TooManyRequests: too many verifications are waiting, or have failed for this user or
                from this address: nothing was looked at.
        """
        if len(password.encode("utf-8", "replace")) > MAX_PASSWORD:
            return False
        name = self._name(user, encoded, password)
        while not self._is_remembered(name):
            flight = self._flights.get(name)
            if flight is None:
                attempt = self._begin(user, address)
                return await self._fly(name, encoded, password, attempt)
            await flight.landed.wait()
            if flight.is_right is not None:
                return flight.is_right
        return True

    async def hash(self, password: str) -> str:
        """Hash a new password for keeping, in a thread; encoding errors have been refused."""
        return await trio.to_thread.run_sync(hash_password, password, limiter=self._limiter)

    def seconds_left(self, user: str, encoded: str | None, password: str) -> float:
        """How long it will still be known that this is right; below zero: it is not."""
        until = self._remembered.get(self._name(user, encoded, password), -math.inf)
        return until - self._clock()

    def _name(self, user: str, encoded: str | None, password: str) -> bytes:
        # The stored hash is part of the name: a changed password forgets the old one at once.
        parts = (user, encoded or "", password)
        text = "\0".join(f"{len(part)}:{part}" for part in parts)
        return blake3(text.encode("utf-8", "replace"), key=self._key).digest()

    def _is_remembered(self, name: bytes) -> bool:
        return self._remembered.get(name, -math.inf) > self._clock()

    def _remember(self, name: bytes) -> None:
        self._remembered[name] = self._clock() + REMEMBER_SECONDS
        self._remembered.move_to_end(name)
        while len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _begin(self, user: str, address: str) -> Attempt:
        if self._waiting >= MAX_WAITING:
            raise TooManyRequests(retry_after=1)
        return self._limits.begin_login(user, address)

    async def _fly(self, name: bytes, encoded: str | None, password: str, attempt: Attempt) -> bool:
        flight = self._flights[name] = _Flight(trio.Event())
        self._waiting += 1
        try:
            flight.is_right = await self._verify(encoded, password)
        finally:
            self._waiting -= 1
            del self._flights[name]
            flight.landed.set()
        if flight.is_right:
            attempt.succeed()
            self._remember(name)
        return flight.is_right

    async def _verify(self, encoded: str | None, password: str) -> bool:
        is_right = await trio.to_thread.run_sync(
            is_password, encoded or _NOBODY, password, limiter=self._limiter
        )
        return is_right and encoded is not None
