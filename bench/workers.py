"""One worker against two, on two cores that the load shares.

The load needs half as much of a processor as what it asks. So three measurements, as one alone
would flatter or wrong us: everything on one core against everything on two; one worker, with the
load on the other core, against two that give the load its part of theirs; and workers that have
half a core each and no more, so that the load has a whole one beside one worker and beside two.
"""

import os
import statistics
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import servers, wrk
from bench.cores import Cores, running_on
from bench.process import iter_tree
from bench.registry import tag_image
from bench.row import Row
from bench.servers import Server
from bench.share import CannotShare, sharing

_ROUNDS = 5
_SECONDS = 3.0
_CONNECTIONS = 16


@dataclass(frozen=True)
class _Way:
    """How many workers, and which cores they and the load have."""

    name: str
    arguments: tuple[str, ...]
    cores: frozenset[int]
    share: float = 0.0  # of a core, for each process of the server; 0: all it can get


def workers(folder: Path) -> Iterator[Row]:
    """GET of a manifest by tag, 16 connections, in turn."""
    cores = frozenset(sorted(os.sched_getaffinity(0))[:2])
    first = frozenset([min(cores)])
    ways = (
        _Way("1 worker, all on one core", (), first),
        _Way("1 worker, all on two cores", (), cores),
        _Way("2 workers, all on two cores", ("--workers", "2"), cores),
    )
    halves = (
        _Way("1 worker of half a core", (), cores, share=0.5),
        _Way("2 workers of half a core each", ("--workers", "2"), cores, share=0.5),
    )
    alone, spared, both = yield from _measure(folder, ways)
    yield Row("2 workers on two cores to 1 on one", f"{both / alone:.2f}", "reported")
    yield Row("2 workers to 1, both on two cores", f"{both / spared:.2f}", "reported")
    try:
        one, two = yield from _measure(folder, halves)
    except CannotShare as error:
        yield Row("2 workers to 1, half a core each", f"not measured: {error}", "≥ 1.6")
    else:
        yield Row("2 workers to 1, half a core each", f"{two / one:.2f}", "≥ 1.6")


def _measure(folder: Path, ways: Sequence[_Way]) -> Generator[Row, None, list[float]]:
    """A row for each way; returns the medians."""
    rates: dict[str, list[float]] = {way.name: [] for way in ways}
    with ExitStack() as stack:
        started = [stack.enter_context(_served(folder, way)) for way in ways]
        for server in started:
            tag_image(server, server.image, ["latest"])
        for way, server in zip(ways, started, strict=True):
            if way.share and server.pid is not None:
                stack.enter_context(sharing(iter_tree(server.pid), way.share))
        for _ in range(_ROUNDS):
            for way, server in zip(ways, started, strict=True):
                rates[way.name].append(_rate(way, server, folder))
    medians = [statistics.median(rates[way.name]) for way in ways]
    for way, median in zip(ways, medians, strict=True):
        figures = ", ".join(f"{rate:,.0f}" for rate in rates[way.name])
        yield Row(f"manifest GET, 16 conn., {way.name}", f"{median:,.0f}/s ({figures})")
    return medians


def _served(folder: Path, way: _Way) -> AbstractContextManager[Server]:
    cores = Cores(way.cores, way.cores)
    return servers.orlop(folder / way.name.replace(" ", "-"), arguments=way.arguments, cores=cores)


def _rate(way: _Way, server: Server, folder: Path) -> float:
    path = f"/v2/{server.image}/manifests/latest"
    with running_on(way.cores):
        load = wrk.run(server, path, connections=_CONNECTIONS, seconds=_SECONDS, folder=folder)
    return load.operations / load.seconds
