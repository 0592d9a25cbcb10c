"""Give the disk back what packs hold and nothing covers: unlink them, or rewrite what is left.

A rewrite copies the live ranges *at the same offsets* into a sparse file and renames it over the
old one: the index does not change, and a reader that has the old file open keeps all of its bytes
(design §4; a hole punched into a pack in use was sent as zeros, measured). What is live in a sealed
pack only becomes less, so a copy by any snapshot has all that is live later.

The old file goes only when the disk has given back the new one's bytes: damage that nobody knew
stays where it is, to be looked at and marked, and so does what cannot be read now. What is marked
and can be read is copied as it is: its mark stays, and its readers find it wrong. All is sync, for
a thread.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cas import layout
from cas.copying import Announce, Chunk, end_of, iter_runs
from cas.errors import Damaged, from_system
from cas.fence import Fence
from cas.maintenance.rehash import find_wrong
from index.environment import sync_directory
from index.records import Pack
from index.view import View

_PAGE: Final = 4096
WORTH: Final = 0.25  # of a pack's blocks that are dead, from which a scheduled rewrite pays
# The least that a rewrite must free: the map of a sparse file takes blocks of its own.
LEAST_BYTES: Final = 64 << 10
LEAST_SHARE: Final = 1 / 1024
_NAMED: Final = 5  # places that a sentence gives


@dataclass(eq=False)
class CopyDamaged(Exception):
    """Chunks of a pack are not what was stored, or could not be copied so, and are not marked."""

    pack: int
    offsets: Sequence[int]

    def __str__(self) -> str:
        places = ", ".join(map(str, self.offsets[:_NAMED]))
        return f"pack {self.pack:016x}: chunks at {places} cannot be copied, and are looked at"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pack as the index and the disk know it."""

    pack: int
    row: Pack
    chunks: Sequence[Chunk]  # that are live, in order
    marked: frozenset[int]  # offsets of those that are known to be damaged
    blocks: int  # bytes on disk

    @property
    def gain(self) -> int:
        """Bytes of blocks that go when only the live runs stay."""
        used, end = 0, 0  # pages that a live byte is on; the end of the last of them
        for offset, row in self.chunks:
            stop = -(-(offset + row.length) // _PAGE)
            used += max(0, stop - max(end, offset // _PAGE))
            end = stop
        return max(0, self.blocks - used * _PAGE)

    @property
    def is_worth_it(self) -> bool:
        """Whether anything to speak of goes."""
        return self.gain >= max(LEAST_BYTES, LEAST_SHARE * self.blocks)


def look_at(view: View, root: Path, pack: int) -> Candidate | None:
    """What is live in a pack; None when the index does not know it."""
    row = view.pack(pack)
    if row is None:
        return None
    chunks = list(view.iter_chunks(pack)) if row.live else []
    marked = frozenset(offset for offset, _ in view.iter_damage(pack)) if row.live else frozenset()
    return Candidate(pack, row, chunks, marked, blocks_of(root, pack))


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
    """Put a copy of what is live in the pack's place, durably; on an error it is as it was.

    Killed at any point, the pack's file is the old one or the new. One at a time.

    Raises:
        CopyDamaged: what is not marked is not what was stored.
        OSError: the disk is full.
        Busy: the copy could not be checked for now.
        IndexFailed: the directory could not be synced.
    """
    copy = layout.rewrite_path(root)
    try:
        with _creating(copy) as target:
            lost = _copy(root, found.pack, found.chunks, target)
            os.ftruncate(target, found.row.length)
            os.fdatasync(target)
        _check(copy, found, lost)
        copy.rename(layout.pack_path(root, found.pack))
    except Exception:  # whatever it was, the pack is as it was, and half a copy is worth nothing
        with suppress(OSError):
            copy.unlink()
        raise
    sync_directory(root / layout.PACKS)


def _check(copy: Path, found: Candidate, lost: set[int]) -> None:
    """Look whether a copy has every chunk as it was stored, but for those that are marked.

    Raises:
        CopyDamaged: it has not.
        Busy: it cannot be said for now.
    """
    # What could not be read is named alone, marked or not: another time the disk may be able to.
    wrong = lost
    if not wrong:
        sound = (chunk for chunk in found.chunks if chunk[0] not in found.marked)
        wrong = set(find_wrong(copy, sound))
    if wrong:
        raise CopyDamaged(found.pack, sorted(wrong))


@contextmanager
def _creating(path: Path) -> Iterator[int]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with suppress(FileNotFoundError):
        path.unlink()
    target = os.open(path, flags, 0o400)
    try:
        yield target
    finally:
        os.close(target)


def _copy(root: Path, pack: int, chunks: Sequence[Chunk], target: int) -> set[int]:
    """Copy chunks to the same offsets; returns those that could not be read.

    Raises:
        OSError: the disk is full.
    """
    if not chunks:
        return set()
    try:
        source = os.open(layout.pack_path(root, pack), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return {offset for offset, _ in chunks}
    fence = Fence(root)
    try:
        os.posix_fadvise(source, 0, 0, os.POSIX_FADV_RANDOM)  # nothing beside what is announced
        return set(_iter_lost(source, target, chunks, partial(fence.announce, pack)))
    finally:
        os.close(source)


def _iter_lost(
    source: int, target: int, chunks: Sequence[Chunk], announce: Announce
) -> Iterator[int]:
    """Copy chunks; yields the offsets of those that could not be."""
    for run in iter_runs(chunks):
        announce(run[0][0], end_of(run[-1]))
        try:
            _copy_range(source, target, run[0][0], end_of(run[-1]))
        except OSError as error:
            if not isinstance(from_system(error, ""), Damaged):
                raise
            if len(run) == 1:
                yield run[0][0]
            else:  # each for itself: one bad sector must not take its neighbours along
                for chunk in run:
                    yield from _iter_lost(source, target, [chunk], announce)


def _copy_range(source: int, target: int, start: int, stop: int) -> None:
    """Copy a range of an open file to the same place of another.

    Raises:
        OSError: the disk is full, the range cannot be read, or the source ends before it does.
    """
    at = start
    while at < stop:
        count = os.copy_file_range(source, target, stop - at, at, at)
        if not count:
            raise OSError(errno.EIO, f"it ends at {at}: bytes are lost")
        at += count
