"""Somebody who pulls while others misbehave, and must not feel it.

A connection of its own asks for a manifest again and again, and for how long each answer took.
"""

import http.client
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.frontend.live import BASIC
from tests.frontend.process import Process

CALM_REQUESTS = 300
# The bound is on what an attack changes. Ten times what is usual is what a loaded machine does by
# itself. Where that is next to nothing (usual: 1 ms), 250 ms: 50 turns of two interpreters that
# share two processors with their neighbours, and an eighth of the shortest limit that a server
# under attack has here. A loop that is held by a connection holds it for seconds.
FACTOR, FLOOR_SECONDS = 10, 0.25


@dataclass
class Bystander:
    """What it saw. Times are in seconds."""

    server: Process
    path: str
    expected: bytes
    calm: list[float] = field(default_factory=list)
    attacked: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def assert_unharmed(self) -> None:
        """Every answer was right, and none took much longer than before."""
        before, during = percentile(self.calm, 99), percentile(self.attacked, 99)
        sys.stdout.write(
            f"\nbystander: {len(self.calm)} requests before, p99 {before * 1000:.1f} ms;"
            f" {len(self.attacked)} during, p99 {during * 1000:.1f} ms,"
            f" longest {max(self.attacked) * 1000:.0f} ms\n"
        )
        assert self.failures == []
        assert during <= max(FACTOR * before, FLOOR_SECONDS)

    def ask(self, times: list[float]) -> None:
        """One request."""
        began = time.perf_counter()
        try:
            self._connection.request("GET", self.path, headers={"Authorization": BASIC})
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
            self._connection.close()
        else:
            if answer.status != 200 or content != self.expected:
                self.failures.append(f"{answer.status} {content[:100]!r}")
        times.append(time.perf_counter() - began)

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def bystander(server: Process, path: str, expected: bytes) -> Iterator[Bystander]:
    """Ask for `path` throughout the block, and say at its end whether it was bearable."""
    one, stop = Bystander(server, path, expected), threading.Event()
    for _ in range(CALM_REQUESTS):
        one.ask(one.calm)

    def ask_on() -> None:
        while not stop.is_set():
            one.ask(one.attacked)
            # A closed loop would take a whole processor from the attack.
            stop.wait(0.002)

    thread = threading.Thread(target=ask_on)
    thread.start()
    try:
        yield one
    finally:
        stop.set()
        thread.join()
        one.close()
    one.assert_unharmed()


def percentile(times: list[float], percent: int) -> float:
    """The time that `percent` of 100 stay below."""
    return sorted(times)[min(len(times) - 1, len(times) * percent // 100)]
