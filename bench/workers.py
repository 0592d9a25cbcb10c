"""One worker against two on all cores, which the load shares with them."""

import statistics
from collections.abc import Iterator
from pathlib import Path

from bench import servers, wrk
from bench.registry import tag_image
from bench.row import Row

_ROUNDS = 5
_SECONDS = 3.0
_CONNECTIONS = 16


def workers(folder: Path) -> Iterator[Row]:
    """GET of a manifest by tag, 16 connections, in turn."""
    rates: dict[str, list[float]] = {"1 worker": [], "2 workers": []}
    with (
        servers.orlop(folder / "one") as one,
        servers.orlop(folder / "two", arguments=["--workers", "2"]) as two,
    ):
        for server in (one, two):
            tag_image(server, server.image, ["latest"])
        for _ in range(_ROUNDS):
            for name, server in zip(rates, (one, two), strict=True):
                path = f"/v2/{server.image}/manifests/latest"
                load = wrk.run(
                    server, path, connections=_CONNECTIONS, seconds=_SECONDS, folder=folder
                )
                rates[name].append(load.operations / load.seconds)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, found in rates.items():
        figures = ", ".join(f"{rate:,.0f}" for rate in found)
        yield Row(f"manifest GET, 16 conn., {name}", f"{medians[name]:,.0f}/s ({figures})")
    ratio = medians["2 workers"] / medians["1 worker"]
    yield Row("manifest GET, 2 workers to 1", f"{ratio:.2f}", "≥ 1.6")
