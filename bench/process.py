"""What Linux knows about a server: processor time and memory of a process and its children."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_LISTENING = "0A"  # Source: linux, include/net/tcp_states.h


def iter_tree(pid: int) -> Iterator[int]:
    """The process and all below it: workers count as their server."""
    yield pid
    with contextlib.suppress(FileNotFoundError):
        for thread in (PROC / str(pid) / "task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from iter_tree(int(child))


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree so far, children that have ended included."""
    total = 0
    for process in iter_tree(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
    return total / _TICKS


def busy_seconds(cores: frozenset[int]) -> float:
    """What all processes together have had of these cores since the machine started."""
    total = 0
    for line in (PROC / "stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            total += user + nice + system + irq + softirq + steal
    return total / _TICKS


def resident_bytes(pid: int) -> int:
    """Resident memory of the tree now."""
    return _status_bytes(pid, "VmRSS")


def peak_resident_bytes(pid: int) -> int:
    """The most it was since `forget_peak`; of several processes the sum, so an upper bound."""
    return _status_bytes(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Start a new peak. One that may not be written to keeps its old peak."""
    for process in iter_tree(pid):
        with contextlib.suppress(OSError):
            (PROC / str(process) / "clear_refs").write_text("5")


def smaps_bytes(pid: int, field: str) -> int:
    """One field of the memory map's sums, such as Anonymous."""
    return _field_bytes((PROC / str(pid) / "smaps_rollup").read_text(), field)


def _status_bytes(pid: int, field: str) -> int:
    total = 0
    for process in iter_tree(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, KeyError):
            total += _field_bytes((PROC / str(process) / "status").read_text(), field)
    return total


def _field_bytes(text: str, field: str) -> int:
    for line in text.splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    raise KeyError(field)


def listener_of(port: int) -> int | None:
    """The process that listens on a TCP port: the eldest one, or None if it is not ours to see."""
    inodes = {
        f"socket:[{line.split()[9]}]"
        for table in ("tcp", "tcp6")
        for line in _lines(PROC / "net" / table)[1:]
        if line.split()[3] == _LISTENING and int(line.split()[1].rpartition(":")[2], 16) == port
    }
    for pid in sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()):
        with contextlib.suppress(OSError):
            for link in (PROC / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(link.readlink()) in inodes:
                        return pid
    return None


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
