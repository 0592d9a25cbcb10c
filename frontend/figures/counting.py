"""Counting in this process: a store of a word, and nothing else, for each event.

<data>/run/figures/<number>     one for each process, which holds its lock and goes on with what
                                an earlier one counted; see `frontend.figures.layout`
"""

import fcntl
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from frontend.domain.fields import Rate
from frontend.figures.layout import (
    AT_LAYOUT,
    AT_REQUESTS,
    AT_SENT,
    AT_UPLOADS,
    AT_USED,
    CLASSES,
    LAYOUT,
    METHODS,
    ROWS,
    SIZE,
    WORD_OF,
    SourceState,
    row_at,
    state_bytes,
)
from frontend.upstream.breaker import Health, State

FOLDER: Final = Path("run") / "figures"  # below the data directory; `run` is 0700
PROCESSES: Final = 256  # files, at most, of 260 KiB
_METHOD: Final = {name: AT_REQUESTS + at * len(CLASSES) for at, name in enumerate(METHODS)}
_OTHER: Final = _METHOD["other"]
_HITS, _SERVED = WORD_OF["hits"], WORD_OF["bytes_served"]

Tell = Callable[[Health], None]


class Counting:
    """What this process counts. Used from one thread."""

    def __init__(self, memory: mmap.mmap) -> None:
        self.memory = memory
        self._words = memoryview(memory).cast("Q")
        _prepare(memory, self._words)
        used = self._words[AT_USED]
        self._rows = {self._words[row_at(each)] - 1: each for each in range(used)}

    def request(self, method: str, status: int, sent: int) -> None:
        """A request was answered, with so many bytes of a body; status 0: its client had left."""
        words = self._words
        words[_METHOD.get(method, _OTHER) + (status // 100 if 100 <= status < 600 else 0)] += 1
        words[AT_SENT] += sent

    def uploads(self, count: int) -> None:
        """So many come in now."""
        self._words[AT_UPLOADS] = count

    def hit(self, repository: int, sent: int) -> None:
        """A read of a proxy repository was answered with what is here."""
        at = self._row(repository)
        if at is not None:
            self._words[at + _HITS] += 1
            self._words[at + _SERVED] += sent

    def miss(self, repository: int) -> None:
        """For a read of a proxy repository its source has to be asked."""
        self._count(repository, "misses")

    def stale(self, repository: int) -> None:
        """It could not be asked, and what is here was the answer."""
        self._count(repository, "stale_served")

    def _count(self, repository: int, name: str) -> None:
        at = self._row(repository)
        if at is not None:
            self._words[at + WORD_OF[name]] += 1

    def telling(self, repository: int) -> Tell:
        """What a new client of a repository's source is to tell how it is doing."""
        at = self._row(repository)
        if at is None:
            return _nothing
        names = ("requests", "failures", "bytes_fetched")
        before = {name: self._words[at + WORD_OF[name]] for name in names}
        place = state_bytes(self._rows[repository])
        told: list[object] = [None]

        def tell(health: Health) -> None:
            for name, count in before.items():
                self._words[at + WORD_OF[name]] = count + getattr(health, name)
            key = (health.state, health.is_failing, health.failures, health.remaining)
            if key != told[0]:  # bytes come often
                told[0] = key
                state = _state_of(health).encode()
                self.memory[place.start : place.start + len(state)] = state

        return tell

    def _row(self, repository: int) -> int | None:
        """The word at which the repository's row begins; None: there is room for no more."""
        number = self._rows.get(repository)
        if number is None:
            number = len(self._rows)
            if number >= ROWS:
                return None
            self._rows[repository] = number
            self._words[row_at(number)] = repository + 1
            self._words[AT_USED] = number + 1  # last: now others read it
        return row_at(number)


def private_counting() -> Counting:
    """Counts that no other process sees."""
    return Counting(mmap.mmap(-1, SIZE))


@contextmanager
def open_counting(data: Path) -> Iterator[Counting]:
    """Count below a data directory within the block; where that cannot be, for ourselves alone."""
    descriptor = _claim(data / FOLDER)
    if descriptor is None:
        yield private_counting()
        return
    try:
        yield Counting(mmap.mmap(descriptor, SIZE))
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # the mapping holds the file open a while longer
        os.close(descriptor)


def _claim(folder: Path) -> int | None:
    """The first file that no process has, of its full size, and ours until it is closed."""
    try:
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return None
    for number in range(PROCESSES):
        with suppress(OSError):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(folder / str(number), flags, 0o600)
            if _take(descriptor):
                return descriptor
            os.close(descriptor)
    return None


def _take(descriptor: int) -> bool:
    """Have a file for our own, if nobody has, and with all of its bytes."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_size < SIZE:
            # Written, not only lengthened: a page without room on the disk would end us.
            os.pwrite(descriptor, bytes(SIZE), 0)
        return os.fstat(descriptor).st_size >= SIZE
    return False


def _prepare(memory: mmap.mmap, words: memoryview) -> None:
    """Go on with what was counted; how sources are doing is not known yet."""
    if words[AT_LAYOUT] != LAYOUT or words[AT_USED] > ROWS // 2:
        memory[:] = bytes(SIZE)
        words[AT_LAYOUT] = LAYOUT
    words[AT_UPLOADS] = 0
    for number in range(words[AT_USED]):
        place = state_bytes(number)
        memory[place] = bytes(place.stop - place.start)


def _state_of(health: Health) -> SourceState:
    now = time.time()
    is_failing = health.state is State.CLOSED and health.is_failing
    return SourceState(
        state="failing" if is_failing else str(health.state),
        since=round(health.since * 1000),
        retry_at=round((now + health.retry_in) * 1000) if health.retry_in else 0,
        failed_at=round((health.failed_at or 0) * 1000),
        told_at=round(now * 1000),
        limit=_most(health.limit),
        remaining=_most(health.remaining),
        window=None if health.limit is None else health.limit.window,
        last_error=health.last_error,
    )


def _most(rate: Rate | None) -> int | None:
    return None if rate is None else max(0, rate.most)


def _nothing(_: Health) -> None:
    return None
