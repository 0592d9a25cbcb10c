"""What is on its way into the store now: uploads, also those that nobody has gone on with."""

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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


def under_way(
    sessions: Iterable[Session], files: Mapping[str, tuple[int, float]]
) -> list[UnderWay]:
    """Those of `sessions`, and those that are but `files` (id → size, idle seconds).

    The ones that grew last come first; at most MOST.
    """
    known = {each.id: _of_session(each) for each in sessions}
    resting = [UnderWay("", "", "", *file) for name, file in files.items() if name not in known]
    return sorted((*known.values(), *resting), key=lambda each: each.idle_seconds)[:MOST]


def _of_session(session: Session) -> UnderWay:
    owner, idle = session.owner, trio.current_time() - session.used_at
    if session.key is not None:
        return UnderWay("", "", session.key, session.size, idle)
    return UnderWay(str(owner.image), owner.principal, "", session.size, idle)


def files_of(folder: Path) -> dict[str, tuple[int, float]]:
    """The uploads in a folder as `under_way` wants them; for a thread."""
    found, now = {}, time.time()
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # ended meanwhile
            found[entry.name] = (status.st_size, max(0.0, now - status.st_mtime))
    return found
