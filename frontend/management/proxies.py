"""Proxy repositories and how the registries behind them are doing, at a glance."""

from collections.abc import Mapping
from functools import partial

import msgspec
import trio

from cas.verbs import View
from frontend.figures.reading import Proxied
from frontend.management.health import shown_health
from frontend.management.repository_shapes import RepositoryWhole, whole
from frontend.management.routing import Admin, Asked, Paging, Reply, Route
from frontend.registry.call import Registry


class ProxyPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of proxy repositories in the order of their names, and what all of them save.

    `hits`, `misses`, `bytes_served` and `bytes_fetched` are the sums of what `health` has.
    """

    page: int
    per_page: int
    total: int
    items: list[RepositoryWhole]
    hits: int
    misses: int
    bytes_served: int
    bytes_fetched: int


class Proxies:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._store = registry.store
        self._figures = registry.figures
        self._limiter = trio.CapacityLimiter(1)  # a list looks at all repositories

    def routes(self) -> tuple[Route, ...]:
        """The calls, and who may make them."""
        return (
            Route(
                method="GET",
                path="/api/v1/proxies",
                access=Admin("see how proxies are doing"),
                handler=self.list,
                summary="Proxy repositories, how their registries are doing, and what they save.",
                query=Paging,
                answer=ProxyPage,
            ),
        )

    async def list(self, asked: Asked) -> Reply:
        """List them, from one snapshot and one look at all figures."""
        paging: Paging = asked.query
        look = partial(_page, paging=paging, figures=self._figures.proxied())
        total, items = await trio.to_thread.run_sync(self._store.read, look, limiter=self._limiter)
        counts = self._figures.total()
        return Reply(
            ProxyPage(
                page=paging.page,
                per_page=paging.size,
                total=total,
                items=items,
                hits=counts.hits,
                misses=counts.misses,
                bytes_served=counts.bytes_served,
                bytes_fetched=counts.bytes_fetched,
            )
        )


def _page(
    view: View, paging: Paging, figures: Mapping[int, Proxied]
) -> tuple[int, list[RepositoryWhole]]:
    """How many there are, and a page of them, as an administrator sees them."""
    rows = [row for row in view.iter_repositories() if row[1].source is not None]
    items = []
    for name, record in rows[paging.start : paging.start + paging.size]:
        found = figures.get(record.id, Proxied())
        health = shown_health(record, found, is_administrator=True)
        items.append(whole(name, record, view.usage(record.id), health))
    return len(rows), items
