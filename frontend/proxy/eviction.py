"""Room in proxy repositories: beyond `max_bytes` the images that were pulled longest ago go.

Each goes in a commit of its own: the manifest with the blobs that nothing else in its image needs,
then its child manifests, one by one. A source has them still, so nothing waits for a lease. What is
being sent stays open to whoever reads it. One process at a time does it for a repository; times of
pulls by other processes are known within a minute.
"""

import heapq
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from cas.digest import Digest
from cas.errors import CasError
from cas.verbs import Store, View
from frontend.proxy.claims import claim
from index.changes import ImageName
from index.errors import ExpectationsFailed, IndexFault, TargetMissing
from index.expectations import RepositoryRevision
from index.idle import Idle, children_of, list_idle, removal, root_of, wanted_at
from index.records import Repository

ROWS: Final = 5000  # links that are looked at on one snapshot: some 20 ms
OLDEST: Final = 1000  # roots of one look over a repository
_KEPT: Final = 1000  # images that were told to be too large
_REPOSITORIES: Final = 64  # whose oldest roots are remembered, of some 200 bytes each

_log = logging.getLogger("orlop.proxy")
Key = tuple[bytes, bytes]  # image, digest


class Eviction:
    """Makes room after something was kept."""

    def __init__(self, store: Store, flush: Callable[[], Awaitable[None]]) -> None:
        """`flush` writes down what was pulled a moment ago."""
        self._store = store
        self._flush = flush
        self._nursery: trio.Nursery | None = None
        self._fresh: dict[str, Key | None] = {}  # what was fetched last
        self._oldest: dict[int, deque[Idle]] = {}  # what goes next, by the repository's id
        self._running: set[str] = set()
        self._told: dict[Key, None] = {}

    def use(self, nursery: trio.Nursery) -> None:
        """Begin: `nursery` outlives every request."""
        self._nursery = nursery

    def note(self, name: ImageName, digest: Digest, record: Repository) -> None:
        """Something was just fetched: the image that it is of stays."""
        if record.source is None or not record.source.max_bytes or self._nursery is None:
            return
        if self._store.read(partial(_over, repository=name.repository)) is None:
            return
        image = self._store.read(lambda view: view.image(name))
        if image is not None:
            self.begin(name.repository, (image.id, digest.key))

    def begin(self, repository: str, fresh: Key | None = None) -> None:
        """Make room in a repository, if it holds more than it is to; the image of `fresh` stays."""
        if self._nursery is None:
            return
        self._fresh[repository] = fresh
        if repository not in self._running:
            self._running.add(repository)
            self._nursery.start_soon(self._run, repository)

    async def _run(self, repository: str) -> None:
        try:
            while repository in self._fresh:
                await self._make_room(repository, self._fresh.pop(repository))
        except (CasError, IndexFault) as error:
            _log.info("%s is larger than it is to be: %s", repository, error)
        finally:
            self._running.discard(repository)

    async def _make_room(self, repository: str, fresh: Key | None) -> None:
        """Take images away until the rest fits, or nothing else than the fresh one is left.

        Raises:
            CasError, IndexFault
        """
        record = self._store.read(partial(_over, repository=repository))
        if record is None:
            return
        async with claim(self._store, f"room {record.id}"):
            await self._flush()
            if fresh is None:
                fresh = await self._look(record.id)
            is_going = True
            while fresh is not None and self._store.read(partial(_over, repository=repository)):
                if not self._oldest.get(record.id):
                    if not is_going:
                        break
                    await self._look(record.id)
                    is_going = False
                fresh = self._fresh.get(repository) or fresh
                is_going |= await self._take(repository, record.id, fresh)
        if fresh is not None:
            self._tell(repository, fresh)

    async def _look(self, repository: int) -> Key | None:
        """Find the roots that were wanted longest ago; returns the one that was wanted last."""
        found: list[Idle] = []
        newest: Idle | None = None
        after: bytes | None = None
        is_over = False
        while not is_over:
            look = partial(list_idle, repository=repository, after=after, rows=ROWS)
            page = await trio.to_thread.run_sync(self._store.read, look)
            found = heapq.nsmallest(OLDEST, [*found, *page.roots])
            newest = max([*page.roots, *([] if newest is None else [newest])], default=None)
            after = page.last
            is_over = after is None
        # What is fetched or pulled from now on is newer: these stay the oldest until they are gone.
        self._oldest[repository] = deque(found)
        while len(self._oldest) > _REPOSITORIES:
            self._oldest.pop(next(iter(self._oldest)))
        return None if newest is None else newest[1:]

    async def _take(self, repository: str, number: int, fresh: Key) -> bool:
        """Take the oldest away until the rest fits; whether any went."""
        roots = self._oldest.get(number, deque())
        image, digest = fresh
        kept = self._store.read(partial(root_of, image=image, digest=digest))
        gone = 0
        while roots:
            record = self._store.read(partial(_over, repository=repository))
            if record is None:
                break
            root = roots.popleft()
            is_pulled = self._store.read(partial(wanted_at, root=root)) != root.at
            if root[1:] != kept[1:] and not is_pulled:
                gone += await self._remove(repository, record, root)
        if gone:
            _log.info("%s: %d images went to make room", repository, gone)
        return gone > 0

    async def _remove(self, repository: str, record: Repository, root: Idle) -> bool:
        """Take one away with what only it needed; False: it changed meanwhile, and stays."""
        has_gone = False
        waiting = [root]
        while waiting:
            each = waiting.pop()
            planned = self._store.read(partial(removal, root=each, is_child=has_gone))
            below = self._store.read(partial(children_of, image=each.image, digest=each.digest))
            if planned is None:
                continue
            changes, expected = planned
            current = RepositoryRevision(repository, record.revision)
            try:
                await self._store.commit(changes, [*expected, current])
            except (ExpectationsFailed, TargetMissing):
                continue  # somebody needs it now
            has_gone = True
            waiting += [Idle(each.at, each.image, child) for child in below]
        return has_gone

    def _tell(self, repository: str, fresh: Key) -> None:
        """Say once of an image that it alone is too large; it is kept all the same."""
        if self._store.read(partial(_over, repository=repository)) is None:
            return
        root = self._store.read(partial(root_of, image=fresh[0], digest=fresh[1]))
        key = root[1:]
        if key in self._told:
            return
        name = self._store.read(partial(View.image_name, image=root.image))
        said = "%s@%s alone is larger than all of %s is to be: it is kept"
        _log.warning(said, name, Digest(root.digest), repository)
        self._told[key] = None
        if len(self._told) > _KEPT:
            self._told.pop(next(iter(self._told)))


def _over(view: View, repository: str) -> Repository | None:
    """The repository, if it is one that holds more than it is to."""
    record = view.repository(repository)
    most = 0 if record is None or record.source is None else record.source.max_bytes
    if record is None or not most or view.usage(record.id).linked <= most:
        return None
    return record
