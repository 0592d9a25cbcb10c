"""One worker against two: on one core each, and where one worker has a core to spare.

The load needs half as much of a processor as what it asks, and shares the servers' cores. So two
measurements, because either alone would flatter or wrong us: everything on one core against
everything on two, which is how workers scale; and one worker, with the load on the other core,
against two that give the load its part of theirs.
"""

import os
import statistics
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import servers, wrk
from bench.cores import Cores, running_on
from bench.registry import tag_image
from bench.row import Row
from bench.servers import Server

_ROUNDS = 5
_SECONDS = 3.0
_CONNECTIONS = 16


@dataclass(frozen=True)
class _Way:
    """How many workers, and which cores they and the load have."""

    name: str
    arguments: tuple[str, ...]
    cores: frozenset[int]


def workers(folder: Path) -> Iterator[Row]:
    """GET of a manifest by tag, 16 connections, in turn."""
    cores = frozenset(sorted(os.sched_getaffinity(0))[:2])
    first = frozenset([min(cores)])
    ways = (
        _Way("1 worker, all on one core", (), first),
        _Way("1 worker, all on two cores", (), cores),
        _Way("2 workers, all on two cores", ("--workers", "2"), cores),
    )
    rates: dict[str, list[float]] = {way.name: [] for way in ways}
    with ExitStack() as stack:
        started = [stack.enter_context(_served(folder, way)) for way in ways]
        for server in started:
            tag_image(server, server.image, ["latest"])
        for _ in range(_ROUNDS):
            for way, server in zip(ways, started, strict=True):
                rates[way.name].append(_rate(way, server, folder))
    medians = [statistics.median(rates[way.name]) for way in ways]
    for way, median in zip(ways, medians, strict=True):
        figures = ", ".join(f"{rate:,.0f}" for rate in rates[way.name])
        yield Row(f"manifest GET, 16 conn., {way.name}", f"{median:,.0f}/s ({figures})")
    alone, spared, both = medians
    yield Row("2 workers on two cores to 1 on one", f"{both / alone:.2f}", "reported")
    yield Row("2 workers to 1, both on two cores", f"{both / spared:.2f}", "≥ 1.6")


def _served(folder: Path, way: _Way) -> AbstractContextManager[Server]:
    cores = Cores(way.cores, way.cores)
    return servers.orlop(folder / way.name.replace(" ", "-"), arguments=way.arguments, cores=cores)


def _rate(way: _Way, server: Server, folder: Path) -> float:
    path = f"/v2/{server.image}/manifests/latest"
    with running_on(way.cores):
        load = wrk.run(server, path, connections=_CONNECTIONS, seconds=_SECONDS, folder=folder)
    return load.operations / load.seconds
