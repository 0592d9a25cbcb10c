"""What one measurement says, and the median of several."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

_Known = TypeVar("_Known", int, float)


class MeasurementFailed(Exception):
    """A registry did not do what was measured; the others go on."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from a request's last byte to its answer's first."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        return cls(*(percentile(seconds, share) for share in (50, 95, 99)))


@dataclass(frozen=True, slots=True)
class Load:
    """What the load generator saw of one server in one round."""

    seconds: float
    operations: int
    octets: int  # of bodies
    latency: Latency
    fairness: float | None = None  # the slowest client's share of the median client's


@dataclass(frozen=True, slots=True)
class Sample:
    """A load, and what it cost the server. None: the server's process is not known."""

    load: Load
    cpu: float | None  # seconds
    peak: int | None  # bytes resident
    growth: int | None  # bytes: peak less what was resident before
    busy: float  # share of a core that the load generator itself took
    others: float | None  # share of the servers' cores that was not this server's: noise


@dataclass(frozen=True, slots=True)
class Figures:
    """The rounds of one case on one server, as one line of the report."""

    rate: float  # operations or bytes a second, as `unit` says
    unit: str  # of operations, such as "requests/s", or "MB/s"
    latency: Latency
    cpu: float | None  # seconds for each GB or each 1,000 operations
    peak: int | None
    growth: int | None
    fairness: float | None
    busy: float
    others: float | None
    rates: tuple[float, ...]

    @classmethod
    def of(cls, samples: Sequence[Sample], unit: str) -> "Figures":
        """Medians of rates and times, all processor time, the worst of memory and fairness."""
        loads = [sample.load for sample in samples]
        amounts = [_amount(load, unit) for load in loads]
        rates = [amount / load.seconds for amount, load in zip(amounts, loads, strict=True)]
        cpu = _all_known([sample.cpu for sample in samples])
        growths = _all_known([sample.growth for sample in samples])
        peaks = _all_known([sample.peak for sample in samples])
        noises = _all_known([sample.others for sample in samples])
        shares = _all_known([load.fairness for load in loads])
        return cls(
            rate=statistics.median(rates),
            unit=unit,
            latency=Latency(
                *(
                    statistics.median(getattr(load.latency, name) for load in loads)
                    for name in ("p50", "p95", "p99")
                )
            ),
            cpu=1000 * sum(cpu) / sum(amounts) if cpu and sum(amounts) else None,
            peak=max(peaks) if peaks else None,
            growth=max(growths) if growths else None,
            fairness=min(shares) if shares else None,
            others=statistics.median(noises) if noises else None,
            busy=statistics.median(sample.busy for sample in samples),
            rates=tuple(rates),
        )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` percent of them do not exceed (nearest rank)."""
    if not values:
        raise MeasurementFailed("nothing was answered")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)]


def fairness_of(shares: Sequence[float]) -> float | None:
    """The slowest client against the median one; None for one client alone."""
    if len(shares) < 2:
        return None
    middle = statistics.median(shares)
    return min(shares) / middle if middle else 0.0


def _amount(load: Load, unit: str) -> float:
    """Operations, or MB: a thousand of either is what CPU time is counted for."""
    return load.octets / 1e6 if unit == "MB/s" else load.operations


def _all_known(values: list[_Known | None]) -> list[_Known]:
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []
