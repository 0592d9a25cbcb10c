"""Packs that work in progress relies on: collection leaves them as they are.

Bytes that were appended are not in the index until their commit, and an adopted file is not done
until its dead ranges are punched out. Held in memory only: after a crash recovery undoes the work.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Pins:
    """How many hold each pack; used from the event loop's thread only."""

    def __init__(self) -> None:
        self._held: Counter[int] = Counter()

    def take(self, pack: int) -> None:
        """Hold a pack once more; `let_go` must follow."""
        self._held[pack] += 1

    def let_go(self, pack: int) -> None:
        """Hold it once less."""
        self._held[pack] -= 1
        if not self._held[pack]:
            del self._held[pack]

    @contextmanager
    def holding(self, pack: int) -> Iterator[None]:
        """Hold a pack for a block."""
        self.take(pack)
        try:
            yield
        finally:
            self.let_go(pack)

    def __contains__(self, pack: int) -> bool:
        return pack in self._held
