"""The management API under `/api/v1`, and what a supervisor asks: JSON in, JSON out.

Errors are in `frontend.management.problems`. Lists answer `{"page", "per_page", "total", "items"}`.
"""

import shutil
from collections.abc import Sequence
from functools import partial
from typing import Literal

import msgspec

from cas.stats import RepositoryStats
from frontend.management.described import Described
from frontend.management.grants import Grants
from frontend.management.journal import Journal
from frontend.management.kept import Kept
from frontend.management.lists import Lists
from frontend.management.maintenance import Maintenance
from frontend.management.manifest import Manifests
from frontend.management.metrics import Metrics
from frontend.management.packages import Packages
from frontend.management.proxies import Proxies
from frontend.management.replies import fine_time_text
from frontend.management.repositories import Repositories
from frontend.management.routing import Admin, Anybody, Asked, Reply, Route
from frontend.management.search import Searches
from frontend.management.sessions import Sessions
from frontend.management.storages import Storages
from frontend.management.tokens import Tokens
from frontend.management.transfers import Transfers
from frontend.management.users import Users
from frontend.registry.call import Registry
from index.growth import growth


class Healthy(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class StatsShown(msgspec.Struct, frozen=True):
    """What is stored, and what that saves; sizes in bytes, each distinct digest once.

    Proxy repositories together have answered `cache_hits` reads with what was here, of
    `cache_bytes_served` bytes, and fetched `cache_bytes_fetched`. With very many objects, what is
    stored may be as it was up to a minute ago: a second for each 50,000.
    """

    logical: int
    stored: int
    disk: int
    objects: int
    extents: int
    chunks: int
    packs: int
    uploads: int
    repositories: Sequence[RepositoryStats]
    dedup_ratio: float
    cache_hits: int
    cache_misses: int
    cache_bytes_served: int
    cache_bytes_fetched: int


class SampleShown(msgspec.Struct, frozen=True):
    """What was stored at a time; sizes in bytes, as in the statistics."""

    at: str
    logical: int
    stored: int
    disk: int


class GrowthShown(msgspec.Struct, frozen=True):
    """Samples of the last two years, the oldest first; of times long ago one a day."""

    growth: list[SampleShown]


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether to send requests here."""

    status: Literal["ready", "draining", "full"]
    writes: str = ""  # what they wait for


def management_routes(registry: Registry) -> tuple[Route, ...]:
    """All routes, of everything that has some."""
    own = Server(registry).routes()
    rooms = (
        Journal,
        Sessions,
        Users,
        Tokens,
        Storages,
        Repositories,
        Grants,
        Packages,
        Lists,
        Proxies,
        Manifests,
        Searches,
        Maintenance,
        Transfers,
        Metrics,
    )
    routes = (*own, *(route for room in rooms for route in room(registry).routes()))
    return (*routes, Described(routes).route)


class Server:
    """Health and figures of the server itself."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store
        self._stats = Kept(registry.stats)

    def routes(self) -> tuple[Route, ...]:
        """The calls, and who may make them."""
        return (
            Route(
                method="GET",
                path="/healthz",
                access=Anybody(),
                handler=self.healthz,
                summary="The process answers.",
                answer=Healthy,
            ),
            Route(
                method="GET",
                path="/readyz",
                access=Anybody(),
                handler=self.readyz,
                summary="Whether to send requests here; 503 while it ends, and on a full disk.",
                answer=Ready,
                also=(503,),
            ),
            Route(
                method="GET",
                path="/api/v1/stats",
                access=Admin("see the statistics of all repositories"),
                handler=self.show_stats,
                summary="What is stored, per repository and in all, and what that saves.",
                answer=StatsShown,
            ),
            Route(
                method="GET",
                path="/api/v1/stats/growth",
                access=Admin("see the statistics of all repositories"),
                handler=self.show_growth,
                summary="How much was stored when: each hour of two days, each day of two years.",
                answer=GrowthShown,
            ),
        )

    async def healthz(self, _: Asked) -> Reply:
        """Say that the process answers."""
        return Reply(Healthy())

    async def readyz(self, _: Asked) -> Reply:
        """Say whether to send requests here."""
        if self._registry.health.is_draining:
            return Reply(Ready("draining"), status=503)
        self._store.read(lambda view: view.revision())  # StoreFailed is a 503 too
        storage = self._registry.settings.storage
        if shutil.disk_usage(storage.data).free < storage.min_free_bytes:
            return Reply(Ready("full"), status=503)
        if not self._registry.health.can_write():  # pulls work: send them here
            return Reply(Ready("ready", "waiting for the storage daemon"))
        return Reply(Ready("ready"))

    async def show_stats(self, _: Asked) -> Reply:
        """Count what is stored."""
        found = await self._stats.find()
        total = self._registry.figures.total()
        cached = {
            "cache_hits": total.hits,
            "cache_misses": total.misses,
            "cache_bytes_served": total.bytes_served,
            "cache_bytes_fetched": total.bytes_fetched,
        }
        ratio = {"dedup_ratio": found.dedup_ratio}
        return Reply(msgspec.to_builtins(found) | ratio | cached)

    async def show_growth(self, _: Asked) -> Reply:
        """Read what was noted."""
        now = self._registry.site.now_ms()
        samples = self._store.read(partial(growth, now=now))
        shown = [
            SampleShown(fine_time_text(each.at), each.logical, each.stored, each.disk)
            for each in samples
        ]
        return Reply(GrowthShown(shown))
