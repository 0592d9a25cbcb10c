"""Reads of proxy repositories that a snapshot cannot answer: one place that knows who can."""

from functools import partial

import trio

from cas.verbs import Store
from frontend.domain import routes
from frontend.domain.faults import Unsupported
from frontend.domain.message import Request, Response
from frontend.figures.reading import Figures
from frontend.proxy.blobs import Blobs
from frontend.proxy.eviction import Eviction
from frontend.proxy.lists import Lists
from frontend.proxy.manifests import Manifests
from frontend.proxy.sources import Make, Sources
from frontend.proxy.transfers import Transfers
from frontend.registry.cached import Uncached
from frontend.registry.site import Site
from frontend.settings import Settings
from frontend.touches import Touches


class Proxy:
    """Everything that fetches. `run` must be running."""

    def __init__(
        self,
        store: Store,
        make: Make,
        pulls: Touches[str],
        figures: Figures,
        settings: Settings,
    ) -> None:
        self.sources = Sources(store, make, figures.counting.telling)
        self.eviction = Eviction(store, partial(pulls.flush, store))
        self.transfers = Transfers(store, self.sources, self.eviction, settings.gc.lease_seconds)
        self._manifests = Manifests(
            store, self.sources, self.eviction, settings.limits.manifest_bytes
        )
        self._blobs = Blobs(store, self.sources, self.transfers)
        self._lists = Lists(store, self.sources)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do what must go on when the client who asked has left; until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self.eviction.use(nursery)
                self.transfers.use(nursery)
                self._manifests.flights.use(nursery)
                self._lists.flights.use(nursery)
                task_status.started()
                await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await self.sources.aclose()

    def changed(self, repository: str) -> None:
        """The settings of a proxy repository were changed: it may be to hold less."""
        self.eviction.begin(repository)

    async def answer(self, uncached: Uncached, request: Request, site: Site) -> Response:
        """Answer a read of somebody who may pull.

        Raises:
            FrontendFault, CasError, IndexFault: as `frontend.errors` words them.
        """
        record = uncached.record
        match uncached.route:
            case routes.Manifest() as route:
                return await self._manifests.answer(request, route, record, site)
            case routes.Blob() as route:
                return await self._blobs.answer(request, route, record, site)
            case routes.Tags() | routes.Referrers() as route:
                return await self._lists.answer(request, route, record, site)
            case route:
                raise Unsupported(f"a cache has no {type(route).__name__}")
