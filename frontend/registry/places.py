"""How many uploads come in at once: in all, and of one account. Of this process alone."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from frontend.domain.faults import TooManyRequests

RETRY_SECONDS: Final = 5  # a layer of some ten MiB is through by then


class UploadPlaces:
    """The places. Used from one thread."""

    def __init__(
        self, total: int, share: int, tell: Callable[[int], None] = lambda _: None
    ) -> None:
        """`total` of them; `share` for each account. `tell` hears how many are held."""
        self._tell = tell
        self._total = total
        self._share = share
        self._held: Counter[str] = Counter()  # of those who hold any: never more than `total`

    @contextmanager
    def place(self, account: str) -> Iterator[None]:
        """Hold one for a block.

        Raises:
            TooManyRequests: none is free, or the account has its share.
        """
        if self._held[account] >= self._share:
            raise TooManyRequests(RETRY_SECONDS, "uploads at once by one account")
        if self._held.total() >= self._total:
            raise TooManyRequests(RETRY_SECONDS, "uploads at once")
        self._held[account] += 1
        self._tell(self._held.total())
        try:
            yield
        finally:
            self._held[account] -= 1
            if not self._held[account]:
                del self._held[account]
            self._tell(self._held.total())
