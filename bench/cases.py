"""A case is one thing measured on every server; a scenario yields cases and sets them up."""

import http.client
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.cores import Cores
from bench.sample import Load, MeasurementFailed
from bench.servers import Server
from bench.wanted import Wanted

FAILURES = (MeasurementFailed, OSError, ValueError, KeyError, http.client.HTTPException)
MIB = 1 << 20
REPORTED = Wanted()


@dataclass(frozen=True, slots=True)
class Bench:
    """What a scenario has at hand. The first server is ours."""

    servers: Sequence[Server]
    folder: Path
    cores: Cores
    quick: bool
    broken: dict[str, str] = field(default_factory=dict)  # servers out of this scenario, and why
    settle_seconds: float = 0.1  # before each measurement, for connections cut by the last

    @property
    def seconds(self) -> float:
        """Of one measurement under load."""
        return 0.5 if self.quick else 2.0

    @property
    def rounds(self) -> int:
        """How often each server has its turn."""
        return 1 if self.quick else 3

    def set_up(self, act: Callable[[Server], None]) -> None:
        """Do it to every server; one that cannot be set up is out, and the others go on."""
        for server in self.servers:
            try:
                act(server)
            except FAILURES as error:
                self.broken[server.name] = f"{type(error).__name__}: {error}"


@dataclass(frozen=True, slots=True)
class Case:
    """What to run on each server, `rounds` times in turn."""

    name: str
    unit: str  # "MB/s" counts bytes; any other counts operations
    run: Callable[[Server], Load]
    wanted: Wanted = REPORTED
    prepare: Callable[[], None] = lambda: None  # before each round, outside of what is measured
    rounds: int | None = None


def size_name(octets: int) -> str:
    """1 GiB, 64 MiB, 4 KiB."""
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if octets >= 1 << shift:
            return f"{octets >> shift} {unit}"
    return f"{octets} B"


def clients_name(count: int) -> str:
    """1 client, 16 clients."""
    return f"{count} client" if count == 1 else f"{count} clients"
