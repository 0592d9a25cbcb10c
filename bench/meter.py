"""Runs a case on every server in turn and reads what it cost them."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import process
from bench.cases import FAILURES, Bench, Case
from bench.client import file_digest
from bench.content import forget_pages, write_random
from bench.cores import Cores
from bench.sample import Figures, Load, Sample
from bench.servers import Server
from bench.wanted import Machine


@dataclass(frozen=True, slots=True)
class Result:
    """A case on one server: figures, or why there are none."""

    case: Case
    server: str
    figures: Figures | None
    failure: str = ""


def run_case(bench: Bench, case: Case) -> Iterator[Result]:
    """Every server in turn, the order reversed each round; one that fails is out of this case."""
    samples: dict[str, list[Sample]] = {server.name: [] for server in bench.servers}
    failures = dict(bench.broken)
    for number in range(case.rounds or bench.rounds):
        case.prepare()
        for server in _in_turn(bench.servers, number):
            if server.name in failures:
                continue
            time.sleep(bench.settle_seconds)
            try:
                samples[server.name].append(measure(server, case.run, bench.cores))
            except FAILURES as error:
                failures[server.name] = f"{type(error).__name__}: {error}"
    for server in bench.servers:
        if server.name in failures:
            yield Result(case, server.name, None, failures[server.name])
        else:
            yield Result(case, server.name, Figures.of(samples[server.name], case.unit))


def measure(server: Server, run: Callable[[Server], Load], cores: Cores) -> Sample:
    """One load on one server."""
    cpu = peak = growth = others = None
    before = 0
    if server.pid is not None:
        process.forget_peak(server.pid)
        before = process.resident_bytes(server.pid)
        cpu = process.cpu_seconds(server.pid)
    total = process.busy_seconds(cores.server)
    busy, started = _own_cpu(), time.perf_counter()
    load = run(server)
    busy, seconds = _own_cpu() - busy, time.perf_counter() - started
    if server.pid is not None and cpu is not None:
        cpu = process.cpu_seconds(server.pid) - cpu
        if not cores.server & cores.load:
            total = process.busy_seconds(cores.server) - total
            others = max(0.0, total - cpu) / seconds / len(cores.server)
        peak = process.peak_resident_bytes(server.pid)
        growth = max(0, peak - before)
    return Sample(load, cpu, peak, growth, busy / seconds, others)


def probe_machine(folder: Path, *, size: int) -> Machine:
    """How fast this disk takes bytes for good, and this processor hashes them."""
    probe, copy = folder / "probe.bin", folder / "probe.copy"
    write_random(probe, size)
    forget_pages()
    file_digest(probe)  # it comes in from the disk: neither figure is to wait for that
    started = time.perf_counter()
    with probe.open("rb") as source, copy.open("wb") as target:
        while piece := source.read(1 << 20):
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())
    durable = size / (time.perf_counter() - started) / 1e6
    started = time.perf_counter()
    file_digest(probe)
    sha256 = size / (time.perf_counter() - started) / 1e6
    for path in (probe, copy):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    return Machine(durable, sha256)


def _in_turn(servers: Sequence[Server], number: int) -> list[Server]:
    return list(servers) if number % 2 == 0 else list(reversed(servers))


def _own_cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
