"""How far long work on packs is: told to whoever shows it."""

from collections.abc import Callable

Tell = Callable[[str, int, int], None]  # stage, bytes done, bytes in all (0: not known)


def tell_nobody(stage: str, done: int, total: int) -> None:
    """For who does not want to know."""


class Progress:
    """Counts the bytes of packs that are done with; tells each time."""

    def __init__(self, tell: Tell, total: int) -> None:
        self.done = 0
        self._tell = tell
        self._total = total
        self.advance(0)

    def advance(self, count: int) -> None:
        """Another `count` bytes are done with."""
        self.done += count
        self._tell("packs", self.done, self._total)
