"""How often one caller may ask, and how many passwords may be tried: over all processes.

Requests are counted in two slots each, without a lock; the smaller one counts. Failed logins are
counted exactly, under names that are kept beside their counts, three for each login: the account
from this network, the account, and the network. See docs/design/0014-limits.md.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

from frontend.access.logins import Logins
from frontend.access.tallies import (
    KNOWN,
    ROW,
    SETS,
    WAYS,
    Tallies,
    open_tallies,
    private_tallies,
)
from frontend.domain.faults import TooManyRequests
from frontend.domain.peer import network_of
from frontend.domain.rate import Rate, whole_seconds
from frontend.settings import Limits as Settings

_NAMES: Final = 4096  # callers whose slots are remembered: about 300 bytes each

Clock = Callable[[], int]  # ns; the same for all processes


class Limits:
    """What the configuration allows a caller. Sync, quick, and never more memory."""

    def __init__(
        self, tallies: Tallies, settings: Settings, clock: Clock = time.monotonic_ns
    ) -> None:
        self._clock = clock
        count = settings.requests_per_second
        self._rate = Rate.of(count, 1, settings.burst) if count else None
        self._requests = _Requests(tallies)
        self._passwords = _Passwords(tallies, settings) if settings.failed_logins else None
        self.logins = Logins()  # for the journal

    @classmethod
    def private(cls, settings: Settings, clock: Clock = time.monotonic_ns) -> "Limits":
        """For one process alone."""
        return cls(private_tallies(), settings, clock)

    @property
    def is_rated(self) -> bool:
        """Whether requests are counted at all; if not, `check_rate` need not be called."""
        return self._rate is not None

    def check_rate(self, account: str, address: str) -> None:
        """Count one request of an account, or of an address when nobody signed in ("").

        Raises:
            TooManyRequests
        """
        if self._rate is not None:
            wait = self._requests.take(self._rate, account, address, self._clock())
            if wait:
                raise TooManyRequests(whole_seconds(wait))

    def begin_login(self, account: str, address: str) -> "Attempt":
        """Count a login as failed before its password is looked at; if it is right, say so.

        So however many are tried at once, no more than allowed are looked at. An account that
        does not exist counts like any other. `account` is folded.

        Raises:
            TooManyRequests: not to be tried now, and not counted.
        """
        if self._passwords is None:
            return Attempt(None, ())
        return self._passwords.begin(account, network_of(address), self._clock())


class Attempt:
    """One login under way, counted as failed until `succeed`.

    If its client leaves, it stays so: else one could have any number of passwords hashed.
    """

    def __init__(self, passwords: "_Passwords | None", names: tuple[int, ...]) -> None:
        self._passwords = passwords
        self._names = names

    def succeed(self) -> None:
        """The password is right: this one did not fail, and the caller is known from now on."""
        if self._passwords is not None:
            self._passwords.succeed(self._names)


class _Requests:
    """Two slots for each caller, so that a stranger who shares one of them changes nothing."""

    def __init__(self, tallies: Tallies) -> None:
        self._tallies = tallies
        self._slots = lru_cache(maxsize=_NAMES)(self._find)

    def take(self, rate: Rate, account: str, address: str, now: int) -> int:
        """Count one; or, not counted, how long it has to wait."""
        words, *slots = self._slots(account, address if not account else "")
        least = min(words[slots[0]], words[slots[1]])
        due = rate.held(least, now)
        wait = rate.wait(due, now)
        if not wait:
            due = rate.passed(due, now)
        for slot in slots:
            if words[slot] < due or words[slot] == least:
                words[slot] = due
        return wait

    def _find(self, account: str, address: str) -> "tuple[memoryview[int], int, int]":
        # Accounts have slots of their own: their names cannot be invented by whoever asks.
        if account:
            words, number = self._tallies.accounts, self._tallies.hash("account", account)
        else:
            words = self._tallies.addresses
            number = self._tallies.hash("address", network_of(address))
        return words, number % ROW, ROW + (number >> 32) % ROW


class _Passwords:
    """Counts of failed logins, with the hashed names of what they are of."""

    def __init__(self, tallies: Tallies, settings: Settings) -> None:
        self._tallies = tallies
        seconds = settings.failed_logins_seconds
        self._rates = tuple(
            Rate.of(count, seconds, count)
            for count in (
                settings.failed_logins,
                settings.failed_logins_per_account,
                settings.failed_logins_per_address,
            )
        )

    def begin(self, account: str, network: str, now: int) -> Attempt:
        hashed = self._tallies.hash
        pair = hashed("login", account, network)
        names = (pair, hashed("account", account), hashed("network", network))
        with self._tallies.locked():
            wait = max(self._waits(names, now))
            if not wait:
                for name, rate in zip(names, self._rates, strict=True):
                    self._count(name, rate, now)
        if wait:
            raise TooManyRequests(whole_seconds(wait), "failed logins")
        return Attempt(self, names)

    def succeed(self, names: tuple[int, ...]) -> None:
        pair, *others = names
        words = self._tallies.logins
        with self._tallies.locked():
            slot = self._slot(pair)
            if words[slot] == _tag(pair):
                words[slot + 1] = 0
            for name, rate in zip(others, self._rates[1:], strict=True):
                slot = self._slot(name)
                if words[slot] == _tag(name):
                    words[slot + 1] = rate.taken_back(words[slot + 1])
            self._tallies.known[pair % KNOWN] = _tag(pair)

    def _waits(self, names: tuple[int, ...], now: int) -> Iterator[int]:
        """How long each name has to wait. Who is known is held to nothing but his own failures.

        So a stranger cannot keep an owner out who has logged in from where he is before.
        """
        pair = names[0]
        is_known = self._tallies.known[pair % KNOWN] == _tag(pair)
        words = self._tallies.logins
        for name, rate in zip(names, self._rates, strict=True):
            slot = self._slot(name)
            if words[slot] == _tag(name):
                words[slot + 1] = rate.held(words[slot + 1], now)
            is_counted = words[slot] == _tag(name) and not (is_known and name != pair)
            yield rate.wait(words[slot + 1], now) if is_counted else 0

    def _count(self, name: int, rate: Rate, now: int) -> None:
        words, slot = self._tallies.logins, self._slot(name)
        due = words[slot + 1] if words[slot] == _tag(name) else 0
        words[slot], words[slot + 1] = _tag(name), rate.passed(due, now)

    def _slot(self, name: int) -> int:
        """Where a name's count is; or, if it has none, that of its set which is the least one."""
        words = self._tallies.logins
        first = 2 * WAYS * (name % SETS)
        slots = range(first, first + 2 * WAYS, 2)
        least = min(slots, key=lambda slot: words[slot + 1])
        return next((slot for slot in slots if words[slot] == _tag(name)), least)


def _tag(name: int) -> int:
    return name | 1  # 0 is nobody's; the lowest bit chooses the set already


@contextmanager
def open_limits(data: Path, settings: Settings) -> Iterator[Limits]:
    """The limits that all processes of the server in `data` share, for a block."""
    with open_tallies(data) as tallies:
        yield Limits(tallies, settings)
