"""Give the disk back what packs hold and nothing covers: unlink them, or rewrite what is left.

A rewrite copies the live ranges *at the same offsets* into a sparse file and renames it over the
old one: the index does not change, and a reader that has the old file open keeps all of its bytes
(design §4; a hole punched into a pack in use was sent as zeros, measured). What is live in a sealed
pack only becomes less, so a copy by any snapshot has all that is live later. All is sync, for a
thread.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cas import layout
from index.environment import sync_directory
from index.records import Pack
from index.view import View

_PAGE: Final = 4096
WORTH: Final = 0.25  # of a pack's blocks that are dead, from which a scheduled rewrite pays
# The least that a rewrite must free: the map of a sparse file takes blocks of its own.
LEAST_BYTES: Final = 64 << 10
LEAST_SHARE: Final = 1 / 1024


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pack as the index and the disk know it."""

    pack: int
    row: Pack
    runs: Sequence[tuple[int, int]]  # live (offset, length), in order, none touching the next
    blocks: int  # bytes on disk

    @property
    def gain(self) -> int:
        """Bytes of blocks that go when only the live runs stay."""
        pages = sum(-(-(at + size) // _PAGE) - at // _PAGE for at, size in self.runs)
        return max(0, self.blocks - pages * _PAGE)

    @property
    def is_worth_it(self) -> bool:
        """Whether anything to speak of goes."""
        return self.gain >= max(LEAST_BYTES, LEAST_SHARE * self.blocks)


def look_at(view: View, root: Path, pack: int) -> Candidate | None:
    """What is live in a pack; None when the index does not know it."""
    row = view.pack(pack)
    if row is None:
        return None
    runs: list[tuple[int, int]] = []
    for offset, chunk in view.iter_chunks(pack) if row.live else ():
        if runs and sum(runs[-1]) == offset:
            runs[-1] = runs[-1][0], runs[-1][1] + chunk.length
        else:
            runs.append((offset, chunk.length))
    return Candidate(pack, row, runs, blocks_of(root, pack))


def blocks_of(root: Path, pack: int) -> int:
    """Bytes that a pack takes on disk; 0 when its file has gone."""
    try:
        return layout.pack_path(root, pack).stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def unlink(root: Path, pack: int) -> None:
    """Free a dead pack's name, durably.

    Raises:
        IndexFailed: the directory could not be synced.
    """
    layout.pack_path(root, pack).unlink(missing_ok=True)
    sync_directory(root / layout.PACKS)


def rewrite(root: Path, found: Candidate) -> None:
    """Put a copy of the live runs in the pack's place, durably; on an error it is as it was.

    Raises:
        OSError: the disk is full, or the pack cannot be read.
        IndexFailed: the directory could not be synced.
    """
    path, copy = layout.pack_path(root, found.pack), layout.rewrite_path(root)
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with suppress(FileNotFoundError):
            copy.unlink()
        target = os.open(copy, flags | os.O_EXCL, 0o400)
        try:
            _copy_runs(path, target, found.runs)
            os.ftruncate(target, found.row.length)
            os.fdatasync(target)
        finally:
            os.close(target)
        copy.rename(path)
    except OSError:
        with suppress(OSError):
            copy.unlink()
        raise
    sync_directory(root / layout.PACKS)


def _copy_runs(path: Path, target: int, runs: Sequence[tuple[int, int]]) -> None:
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for offset, length in runs:
            done = 0
            while done < length:
                count = os.copy_file_range(
                    source, target, length - done, offset + done, offset + done
                )
                if not count:
                    reason = f"{path.name} ends at {offset + done}: bytes are lost"
                    raise OSError(errno.EIO, reason)
                done += count
    finally:
        os.close(source)
