"""When things were last used: noted in memory with every request, written down each minute.

To note costs a request an entry of a dict. What a process that is killed has not written is lost.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from typing import Final, Generic, TypeVar

import trio

from cas.errors import CasError
from cas.verbs import Store, View
from index.changes import Touch
from index.errors import IndexFault
from index.touching import is_due

K = TypeVar("K", bound=Hashable)

FLUSH_SECONDS: Final = 60.0
LAST_SECONDS: Final = 5.0  # how long an end waits for what is left
MOST: Final = 65_536  # keys of one minute: about 16 MiB. What comes beyond is noted a minute later
AT_ONCE: Final = 500  # rows of one commit

_log = logging.getLogger("orlop.touches")


class Touches(Generic[K]):
    """Times of one kind, by keys that are cheap to hash.

    `find` says which row a key means, with the time that it is to get; None: it is gone.
    """

    def __init__(
        self, find: Callable[[View, K, int], Touch | None], clock: Callable[[], float] = time.time
    ) -> None:
        self._find = find
        self._clock = clock
        self._noted: dict[K, int] = {}

    def note(self, key: K) -> None:
        """It was used now."""
        if key in self._noted or len(self._noted) < MOST:
            self._noted[key] = int(self._clock())

    async def flush(self, store: Store) -> None:
        """Write down what was noted and is due.

        Raises:
            IndexFault, CasError: it could not be written; it is kept for the next time.
        """
        if not self._noted:
            return
        taken, self._noted = self._noted, {}
        try:
            look = partial(self._due, noted=taken)
            due = iter(await trio.to_thread.run_sync(store.read, look))
            while batch := list(islice(due, AT_ONCE)):
                await store.commit(batch)
        except BaseException:  # whatever it was, the times are not written yet; it goes on
            self._noted = taken | self._noted
            raise

    def _due(self, view: View, noted: dict[K, int]) -> list[Touch]:
        found = (self._find(view, key, at) for key, at in noted.items())
        return [touch for touch in found if touch is not None and is_due(view, touch)]


@asynccontextmanager
async def flushing(store: Store, touches: Sequence[Touches[str]]) -> AsyncIterator[None]:
    """Write down each minute within the block, and once more when it is left in order."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_flush_each_minute, store, touches)
        yield
        nursery.cancel_scope.cancel()
    with trio.move_on_after(LAST_SECONDS):
        await _flush(store, touches)


async def _flush_each_minute(store: Store, touches: Sequence[Touches[str]]) -> None:
    while True:
        await trio.sleep(FLUSH_SECONDS)
        await _flush(store, touches)


async def _flush(store: Store, touches: Iterable[Touches[str]]) -> None:
    for each in touches:
        try:
            await each.flush(store)
        except (IndexFault, CasError) as error:
            _log.info("times of use will be written later: %s", error)
