"""What a case has to reach, and whether it did."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.sample import Figures


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine's disk and processor give at most, in the same run (MB/s)."""

    durable: float  # write and fsync
    sha256: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """Limits of our own figures; None: it is only reported."""

    rate: float | None = None
    times: float | None = None  # times docker-registry's rate
    of_durable: float | None = None  # or this share of the durable write rate, if that is less
    of_machine: float | None = None  # times the lesser of the durable write rate and sha256's
    p99: float | None = None  # seconds
    cpu: float | None = None  # seconds for each GB or 1,000 operations
    fairness: float | None = None
    growth: int | None = None  # bytes of resident memory

    def iter_checks(
        self, ours: Figures, peer: Figures | None, machine: Machine | None
    ) -> Iterator[tuple[str, bool]]:
        """Each limit that can be told in this run, and whether it is kept."""
        if self.rate is not None:
            yield f"≥ {self.rate:,.0f} {ours.unit}", ours.rate >= self.rate
        yield from self._iter_relative(ours, peer, machine)
        if self.p99 is not None:
            yield f"p99 < {self.p99 * 1e3:g} ms", ours.latency.p99 < self.p99
        if self.cpu is not None and ours.cpu is not None:
            yield f"CPU ≤ {self.cpu:g}", ours.cpu <= self.cpu
        if self.fairness is not None and ours.fairness is not None:
            yield f"fairness ≥ {self.fairness:g}", ours.fairness >= self.fairness
        if self.growth is not None and ours.growth is not None:
            yield f"growth < {self.growth >> 20} MiB", ours.growth < self.growth

    def _iter_relative(
        self, ours: Figures, peer: Figures | None, machine: Machine | None
    ) -> Iterator[tuple[str, bool]]:
        if self.times is not None and peer is not None:
            limits = {f"{self.times:g} x docker-registry": self.times * peer.rate}
            if self.of_durable is not None and machine is not None:
                limits[f"{self.of_durable:g} x durable write"] = self.of_durable * machine.durable
            name = min(limits, key=lambda name: limits[name])
            yield f"≥ {name}", ours.rate >= limits[name]
        if self.of_machine is not None and machine is not None:
            least = min(machine.durable, machine.sha256)
            text = f"≥ {self.of_machine:g} x min(sha256, durable write)"
            yield text, ours.rate >= self.of_machine * least
