"""Free the dead pages of adopted files: at their commit, or once nobody follows them any more.

What is dead is decided at the commit, when no reader of an object has ever seen the file; what dies
later may be read by whoever holds a deleted object open, and is left to a rewrite. Held in memory
only: after a restart what is owed is dead bytes like any other. See docs/design/0017-followers.md.
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cas import packs

MAX_OWED: Final = 256  # files, and gaps of one: a rewrite takes care of more
MAX_GAPS: Final = 4096


class Punching:
    """The files that are to be punched yet; one per store. Its methods block: for a thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._owed: OrderedDict[int, list[tuple[int, int]]] = OrderedDict()

    def punch(self, pack: int, used: Sequence[tuple[int, int]], size: int) -> None:
        """Free what `used` (offset, length), which is sorted, leaves out of a pack just committed.

        Later, if somebody follows the file now.
        """
        gaps = packs.gaps_between(used, size)
        if gaps and not packs.punch(self._root, pack, gaps) and len(gaps) <= MAX_GAPS:
            self._owed[pack] = gaps
            if len(self._owed) > MAX_OWED:
                self._owed.popitem(last=False)

    def punch_owed(self) -> int:
        """Free what nobody follows any more; returns how many files are left."""
        for pack, gaps in list(self._owed.items()):
            if packs.punch(self._root, pack, gaps):
                self._owed.pop(pack, None)
        return len(self._owed)
