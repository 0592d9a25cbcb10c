"""Who has how many connections: a page of memory that all workers of a server share.

One u64 a slot: 0 for a slot that nobody has, else the number of connections and 1. Each worker
writes its own slot only, and a store of 8 aligned bytes is whole, so nothing needs a lock.
"""

import mmap
import os
from typing import Final

SLOTS: Final = 512
_SIZE: Final = 8 * SLOTS  # bytes: one page


class Shares:
    """The page. The supervisor makes it; each worker maps it by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, _SIZE)
        self._counts = memoryview(self._map).cast("Q")

    @classmethod
    def make(cls) -> "Shares":
        """A new page, with all slots free."""
        descriptor = os.memfd_create("orlop-shares", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _SIZE)
        return cls(descriptor)

    def free_slot(self, taken: set[int]) -> int:
        """A slot that is not among those `taken`."""
        return next(slot for slot in range(SLOTS) if slot not in taken)

    def clear(self, slot: int) -> None:
        """Nobody has this slot any more: its process is gone, or takes nothing more."""
        self._counts[slot] = 0

    def share(self, slot: int) -> "Share":
        """Take `slot`."""
        return Share(self._counts, slot)


class Share:
    """One worker's part (`frontend.server.accepting.Turns`)."""

    def __init__(self, counts: "memoryview[int]", slot: int) -> None:
        self._counts = counts
        self._slot = slot
        counts[slot] = 1

    def is_ahead(self) -> bool:
        """Whether this worker has more than another one, beyond an eighth."""
        # All may have been cleared: when everybody drains, a connection can yet come in between.
        least = min((count for count in self._counts if count), default=1) - 1
        return self._counts[self._slot] - 1 > least + least // 8

    def enter(self) -> None:
        """One more."""
        self._counts[self._slot] += 1

    def leave(self) -> None:
        """One less."""
        if self._counts[self._slot] > 1:  # it may have been cleared, because we drain
            self._counts[self._slot] -= 1
