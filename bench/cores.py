"""Which cores the servers and the load run on: `SERVER/LOAD`, each a list like `0,2` or `0-3`."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores of every server and those of the load."""

    server: frozenset[int]
    load: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> "Cores":
        """Raises ValueError for what is no such pair of lists."""
        server, slash, load = text.partition("/")
        if not slash:
            raise ValueError(f"{text!r} is not SERVER/LOAD, such as 0/1")
        return cls(_parse_list(server), _parse_list(load))

    @classmethod
    def default(cls) -> "Cores":
        """The first core for servers and the second for the load; one core has to do for both."""
        ours = sorted(os.sched_getaffinity(0))
        return cls(frozenset(ours[:1]), frozenset(ours[1:2] or ours[:1]))

    def __str__(self) -> str:
        return "/".join(",".join(map(str, sorted(some))) for some in (self.server, self.load))


@contextlib.contextmanager
def running_on(cores: frozenset[int]) -> Iterator[None]:
    """Pin this process: what it starts meanwhile inherits the pin and keeps it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _parse_list(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        found |= set(range(int(first), int(last if dash else first) + 1))
    if not found:
        raise ValueError(f"{text!r} names no core")
    return frozenset(found)
