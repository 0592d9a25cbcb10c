"""Searches in threads: two at once, a few that wait, and each on a snapshot of its own."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from cas.verbs import Store, View
from frontend.domain.faults import TooManyRequests
from frontend.domain.search import Query
from frontend.domain.search_faults import SearchAbandoned
from frontend.errors import KNOWN_ERRORS
from frontend.search.answers import Item, describe
from frontend.search.find import Reach, Search
from frontend.search.pace import Pace
from index.records import Repository

AT_ONCE: Final = 2  # threads; they share one core with the event loop
MAX_WAITING: Final = 16  # at 30 ms each, two at once: the last one waits a quarter of a second

Visible = Callable[[View], Iterable[tuple[str, Repository]]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query, by whom, and which of the results. `is_all`: he may pull everything."""

    query: Query
    visible: Visible  # what he may pull, in the order of names
    is_all: bool
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Found:
    """The results that were wanted, and how many there are."""

    items: tuple[Item, ...]
    total: int
    is_cut: bool  # there are more than `total`


class Searcher:
    """One per process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._waiting = 0

    async def search(
        self, wanted: Wanted, wait_gone: Callable[[], Awaitable[None]] = trio.sleep_forever
    ) -> Found:
        """Find what is wanted. Who is cancelled stops the thread within a slice of its pace.

        Raises:
            TooManyRequests: too many wait already.
            SearchTooBroad: it takes too long.
            SearchAbandoned: `wait_gone` returned first: nobody waits for it any more.
        """
        if self._waiting >= AT_ONCE + MAX_WAITING:
            raise TooManyRequests(retry_after=1)
        outcome: Found | Exception = SearchAbandoned()
        self._waiting += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_when, wait_gone, nursery.cancel_scope)
                try:
                    outcome = await self._search(wanted)
                except KNOWN_ERRORS as error:  # raised below: a nursery would put it in a group
                    outcome = error
                nursery.cancel_scope.cancel()
        finally:
            self._waiting -= 1
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _search(self, wanted: Wanted) -> Found:
        # Begun, read and ended in that thread: a snapshot is of one thread.
        look = partial(_look, wanted)
        return await trio.to_thread.run_sync(self._store.read, look, limiter=self._limiter)


async def _cancel_when(wait: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
    await wait()
    scope.cancel()


def _look(wanted: Wanted, view: View) -> Found:
    return find(view, wanted, Pace(trio.from_thread.check_cancelled))


def find(view: View, wanted: Wanted, pace: Pace | None = None) -> Found:
    """Search one snapshot."""
    pace = pace or Pace()
    reach = Reach.of(wanted.query, wanted.visible(view), is_all=wanted.is_all)
    search = Search(view, wanted.query, reach, pace)
    hits = search.run()
    ordered = hits.ordered()
    items = []
    for hit in ordered[wanted.start : wanted.start + wanted.size]:
        items.append(describe(view, search.subjects, hit))
        pace.step()
    return Found(tuple(items), len(ordered), hits.is_cut)
