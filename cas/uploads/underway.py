"""What is on its way into the store now: uploads, also those that nobody has gone on with."""

import heapq
import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Final

import trio

from cas.uploads.session import Session

MOST: Final = 1000  # uploads that are listed


@dataclass(frozen=True, slots=True)
class UnderWay:
    """An upload. Of one that rests since a restart, or for long, only size and time are known."""

    image: str  # storage/repository/path; empty for one under a key
    principal: str  # who began it
    key: str  # the single-flight key, or empty
    size: int  # bytes that are here
    idle_seconds: float  # since it was last asked for, or grew


def under_way(sessions: Iterable[Session], resting: Iterable[UnderWay]) -> list[UnderWay]:
    """Those of `sessions`, and those that rest; the ones that grew last, at most MOST."""
    return _newest(chain(map(_of_session, sessions), resting))


def resting_in(folder: Path, known: Collection[str]) -> list[UnderWay]:
    """The uploads in a folder but those `known` by their id, as `under_way`; for a thread."""
    return _newest(_iter_resting(folder, known))


def _iter_resting(folder: Path, known: Collection[str]) -> Iterator[UnderWay]:
    now = time.time()
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # ended meanwhile
            if stat.S_ISREG(status.st_mode) and entry.name not in known:
                yield UnderWay("", "", "", status.st_size, max(0.0, now - status.st_mtime))


def _of_session(session: Session) -> UnderWay:
    owner, idle = session.owner, trio.current_time() - session.used_at
    if session.key is not None:
        return UnderWay("", "", session.key, session.size, idle)
    return UnderWay(str(owner.image), owner.principal, "", session.size, idle)


def _newest(found: Iterable[UnderWay]) -> list[UnderWay]:
    return heapq.nsmallest(MOST, found, key=attrgetter("idle_seconds"))
