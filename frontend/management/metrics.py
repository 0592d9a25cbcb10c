"""`/metrics`, as Prometheus reads it: of all worker processes, whichever is asked.

It needs an account, so that strangers learn nothing of the traffic, but no administrator's: an
access token of any user does. Proxy repositories are named to whoever may pull from them.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from quart import Response

from cas.verbs import View
from frontend.access.standing import may
from frontend.domain.message import Principal
from frontend.figures.layout import COUNTS
from frontend.figures.reading import Figures, Proxied
from frontend.management.routing import Account, Asked, Route
from frontend.registry.call import Registry

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

# Source: Prometheus, "Exposition formats", text-based format.
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_WORDS: Final = {
    "hits": "Reads of manifests and blobs that were answered with what is here",
    "misses": "Reads of manifests and blobs for which the upstream was asked",
    "stale_served": "Answers with what may be outdated, as the upstream could not be asked",
    "bytes_served": "Bytes of bodies that were answered with what is here",
    "requests": "Requests to the upstream",
    "failures": "Failures of the upstream",
    "bytes_fetched": "Bytes of bodies that the upstream sent",
}
_NAMES: Final = {"requests": "upstream_requests", "failures": "upstream_failures"}


class Metrics:
    """The handler."""

    def __init__(self, registry: Registry) -> None:
        self._store = registry.store
        self._figures = registry.figures

    def routes(self) -> tuple[Route, ...]:
        """The call, and who may make it."""
        return (
            Route(
                method="GET",
                path="/metrics",
                access=Account(),
                handler=self.show,
                summary="Figures of the server and its proxy repositories, as Prometheus reads.",
                text=TEXT,
            ),
        )

    async def show(self, asked: Asked) -> Response:
        """Write all of them down."""
        # Imported when it is wanted: 40 ms of a start, for a server that nobody may ever scrape.
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(self._figures, self._proxies(asked.principal)))
        response = Response(generate_latest(registry), content_type=TEXT)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def _proxies(self, principal: Principal) -> dict[str, Proxied]:
        """What was counted of proxy repositories that the principal may pull from, by name."""
        return self._store.read(
            partial(_visible, found=self._figures.proxied(), principal=principal)
        )


class _Collector:
    """What `prometheus_client` asks for what there is."""

    def __init__(self, figures: Figures, proxies: dict[str, Proxied]) -> None:
        self._figures = figures
        self._proxies = proxies

    def collect(self) -> "Iterator[Metric]":
        """All figures, with their names."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        traffic = self._figures.traffic()
        requests = CounterMetricFamily(
            "orlop_requests", "Requests that were answered", labels=["method", "status"]
        )
        for (method, status), count in traffic.requests.items():
            if count:
                requests.add_metric([method, status], count)
        yield requests
        yield CounterMetricFamily("orlop_sent_bytes", "Bytes of bodies", traffic.bytes_sent)
        yield GaugeMetricFamily("orlop_uploads", "Uploads under way", traffic.uploads)
        for name in COUNTS:
            family = CounterMetricFamily(
                f"orlop_proxy_{_NAMES.get(name, name)}", _WORDS[name], labels=["repository"]
            )
            for repository, each in self._proxies.items():
                family.add_metric([repository], getattr(each.counts, name))
            yield family
        up = GaugeMetricFamily(
            "orlop_proxy_upstream_up",
            "Whether the upstream is asked as usual",
            None,
            ["repository"],
        )
        left = GaugeMetricFamily(
            "orlop_proxy_ratelimit_remaining",
            "What the upstream said is left",
            None,
            ["repository"],
        )
        for repository, each in self._proxies.items():
            if each.states:
                up.add_metric([repository], each.worst.state == "closed")
            if each.latest.remaining is not None:
                left.add_metric([repository], each.latest.remaining)
        yield up
        yield left


def _visible(view: View, found: dict[int, Proxied], principal: Principal) -> dict[str, Proxied]:
    shown: dict[str, Proxied] = {}
    for number, each in found.items():
        name = view.repository_name(number)
        record = None if name is None else view.repository(name)
        if name is not None and record is not None and may(view, principal, "pull", name, record):
            shown[name] = each
    return dict(sorted(shown.items()))
