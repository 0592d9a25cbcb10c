"""Logins on their way to the journal: gathered, since one a request would be a commit each.

Whoever proves who he is, is told of once an hour for each address and way; what fails, once a
minute for each account and client, with its number, and few in an hour: the journal has an end, and
nobody is to push out of it what others did. Of this process alone.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from frontend.domain.deeds import Deed, entry_of
from frontend.domain.message import Principal
from frontend.domain.peer import network_of
from index.records import Entry

HOUR: Final = 3_600_000  # ms
MAX_TOLD: Final = 4096  # logins that are remembered; about 200 bytes each
MAX_WAITING: Final = 500  # entries that wait
MAX_FAILED: Final = 200  # entries of failures in an hour; those beyond are counted together


@dataclass(slots=True)
class _Failures:
    """Passwords that were wrong, and those that were not looked at."""

    at: int
    address: str
    failed: int = 0
    refused: int = 0


class Logins:
    """What was not written yet. Sync; used from one thread."""

    def __init__(self, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        """`clock` says milliseconds since 1970."""
        self._clock = clock
        self._told: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        self._entries: list[Entry] = []
        self._failures: dict[tuple[str, str], _Failures] = {}
        self._failed = (0, 0)  # an hour, and how many entries of failures were begun in it

    def succeed(self, principal: Principal, address: str) -> None:
        """Somebody proved who he is; told at most once an hour."""
        key, now = (principal.name, address, principal.via), self._clock()
        if now - self._told.get(key, -HOUR) < HOUR or len(self._entries) >= MAX_WAITING:
            return
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > MAX_TOLD:
            self._told.popitem(last=False)
        self._entries.append(entry_of(Deed("login"), principal, address, now))

    def fail(self, account: str, address: str) -> None:
        """A password was wrong. `account` is one that there is, or empty."""
        self._failures_of(account, address).failed += 1

    def refuse(self, account: str, address: str) -> None:
        """A password was not even looked at."""
        self._failures_of(account, address).refused += 1

    def _failures_of(self, account: str, address: str) -> _Failures:
        key, now = (account, network_of(address)), self._clock()
        if key not in self._failures and not self._begin_failure(now // HOUR):
            key, address = ("", ""), ""
        return self._failures.setdefault(key, _Failures(now, address))

    def _begin_failure(self, hour: int) -> bool:
        """Whether there may be one more entry of failures in this hour."""
        begun = self._failed[1] if self._failed[0] == hour else 0
        self._failed = (hour, begun + 1)
        return begun < MAX_FAILED

    def take(self) -> list[Entry]:
        """All that waits, in the order of its time. It waits no more."""
        failed = [
            entry_of(_failed(account, each), Principal(), each.address, each.at)
            for (account, _), each in self._failures.items()
        ]
        taken = sorted((*self._entries, *failed), key=lambda entry: entry.at)
        self._entries, self._failures = [], {}
        return taken


def _failed(account: str, failures: _Failures) -> Deed:
    numbers = {"failed": failures.failed, "refused": failures.refused}
    return Deed("login.failed", account, detail={name: n for name, n in numbers.items() if n})
