"""How long to wait before a process that ended is started again."""

from typing import Final

FIRST: Final = 0.1  # seconds
MOST: Final = 10.0
HEALTHY: Final = 60.0  # a process that lived this long is forgiven what came before


class Backoff:
    """Delays for one process and its successors: each twice the one before."""

    def __init__(self) -> None:
        self._next = FIRST
        self.failures = 0  # in a row

    def delay(self, lived: float) -> float:
        """Seconds to wait after one that lived `lived` seconds."""
        if lived >= HEALTHY:
            self._next, self.failures = FIRST, 0
        self.failures += 1
        delay, self._next = self._next, min(2 * self._next, MOST)
        return delay
