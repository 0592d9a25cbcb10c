"""What all processes have counted, together."""

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from frontend.figures.counting import FOLDER, Counting
from frontend.figures.layout import (
    AT_LAYOUT,
    AT_REQUESTS,
    AT_SENT,
    AT_UPLOADS,
    AT_USED,
    CLASSES,
    COUNTS,
    LAYOUT,
    METHODS,
    ROWS,
    SIZE,
    STATES,
    WORD_OF,
    Counts,
    SourceState,
    row_at,
    state_bytes,
)

_MOST: Final = (1 << 32) - 1  # an id


@dataclass(slots=True)
class Traffic:
    """Of the whole server."""

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)  # (method, class of status)
    bytes_sent: int = 0
    uploads: int = 0  # under way


@dataclass(slots=True)
class Proxied:
    """Of one proxy repository; `states` as the processes know that have asked its source."""

    counts: Counts = field(default_factory=Counts)
    states: list[SourceState] = field(default_factory=list)

    @property
    def worst(self) -> SourceState:
        """How its source is doing, as the process knows that has the least hope."""
        return max(self.states, key=lambda each: STATES.index(each.state), default=SourceState())

    @property
    def failed(self) -> SourceState:
        """As whoever saw the last failure knows."""
        return max(self.states, key=lambda each: each.failed_at, default=SourceState())

    @property
    def latest(self) -> SourceState:
        """As whoever was told last what is left of a limit knows."""
        said = (each for each in self.states if each.remaining is not None)
        return max(said, key=lambda each: each.told_at, default=SourceState())


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of this process, and how to read those of all. Without `data`, only its own."""

    counting: Counting
    data: Path | None = None

    def traffic(self) -> Traffic:
        """Requests, bytes and uploads."""
        found = Traffic()
        for block, is_alive in self._blocks():
            words = memoryview(block).cast("Q")
            at = AT_REQUESTS
            for method in METHODS:
                for kind in CLASSES:
                    found.requests[method, kind] += words[at]
                    at += 1
            found.bytes_sent += words[AT_SENT]
            found.uploads += words[AT_UPLOADS] if is_alive else 0
        return found

    def of(self, repository: int) -> Proxied:
        """All that is known of one proxy repository."""
        return self.proxied(repository).get(repository, Proxied())

    def total(self) -> Counts:
        """Of all proxy repositories together."""
        found = Counts()
        for each in self.proxied().values():
            found.add(each.counts)
        return found

    def proxied(self, only: int | None = None) -> dict[int, Proxied]:
        """All that is known of proxy repositories, by their ids, or of one."""
        found: dict[int, Proxied] = {}
        for block, is_alive in self._blocks():
            words = memoryview(block).cast("Q")
            for number in range(min(words[AT_USED], ROWS)):
                at = row_at(number)
                repository = words[at] - 1
                if only not in (None, repository) or not 0 <= repository <= _MOST:
                    continue
                each = found.setdefault(repository, Proxied())
                each.counts.add(Counts(**{name: words[at + WORD_OF[name]] for name in COUNTS}))
                state = SourceState.decode(block[state_bytes(number)])
                if is_alive and state.state:
                    each.states.append(state)
        return found

    def _blocks(self) -> Iterator[tuple[bytes, bool]]:
        """Each process's file, and whether that process is running."""
        if self.data is None:
            yield self.counting.memory[:], True
            return
        for path in (self.data / FOLDER).glob("*"):
            with suppress(OSError):
                found = _read(path)
                if found is not None:
                    yield found


def _read(path: Path) -> tuple[bytes, bool] | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        block = os.pread(descriptor, SIZE, 0)
        if len(block) < SIZE or memoryview(block).cast("Q")[AT_LAYOUT] != LAYOUT:
            return None
        return block, _is_held(descriptor)
    finally:
        os.close(descriptor)


def _is_held(descriptor: int) -> bool:
    """Whether a process has the file for its own."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
