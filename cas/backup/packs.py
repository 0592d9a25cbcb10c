"""Bring the packs of a backup up to date: what they lack, and nothing else, is read and written.

A chunk is written at the offset that it has in the store, and only where the index that the backup
has so far knows none. So that index stays good whatever happens, and what was written before a
crash is found again, checked, and kept.
"""

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from cas import layout
from cas.backup.folder import BackupRefused, Folder
from cas.copying import Chunk, Piece, end_of, iter_pieces
from cas.fence import Fence
from cas.harm import Range
from cas.packs import gaps_between
from index import keys
from index.linux import punch_hole, start_writeback
from index.records import Pack, PackState
from index.view import View

WRITEBACK: Final = 16 << 20  # bytes after which the disk gets to work, so that the sync is short
HELD: Final = (PackState.ACTIVE, PackState.SEALED)  # what a backup has; else nothing is readable


@dataclass(frozen=True, slots=True)
class Known:
    """What the folder has already, as its old index says.

    Packs in `doubtful` are looked through; with `verify` all are.
    """

    view: View
    doubtful: frozenset[int]
    verify: bool

    def pack(self, pack: int) -> Pack | None:
        """The row of a pack that the folder has."""
        row = self.view.pack(pack)
        return row if row is not None and row.state in HELD else None

    def is_trusted(self, pack: int) -> bool:
        """Whether its chunks need not be read again."""
        return not self.verify and pack not in self.doubtful


@dataclass(slots=True)
class Copier:
    """One run over all packs, and what came of it; sizes in bytes."""

    root: Path
    folder: Folder
    known: Known | None
    advance: Callable[[int], None]  # told of chunks that are done with, in bytes
    copied: int = 0
    damaged: list[Range] = field(default_factory=list)

    def bring(self, view: View, pack: int, row: Pack) -> None:
        """Have every chunk of one pack in the folder, synced, as far as they are sound.

        Raises:
            BackupRefused: the folder has another pack of this name.
        """
        size = self.folder.pack_size(pack)
        wanted = self._wanted(view, pack, row, size)
        if not wanted and size is not None and size >= row.length:
            return
        with _closing(self.folder.open_pack(pack, writes=True)) as target:
            self._fill(pack, target, list(self._iter_missing(target, wanted, size or 0)))
            if os.fstat(target).st_size < row.length:
                os.ftruncate(target, row.length)
            os.fsync(target)

    def _wanted(self, view: View, pack: int, row: Pack, size: int | None) -> list[Chunk]:
        """Chunks that the folder is not known to have."""
        before = None if self.known is None else self.known.pack(pack)
        if self.known is None or before is None:
            return list(view.iter_chunks(pack))
        # Blobs are indexed after their pack was sealed, too: its row does not tell what is new.
        old, new = self.known.view.chunk_names(pack), view.chunk_names(pack)
        fresh = {key for key, name in new.items() if old.get(key) != name}
        if fresh:
            self._refuse_clash(view, pack, fresh)
        is_trusted = self.known.is_trusted(pack) and size is not None and size >= before.length
        if is_trusted and not fresh:
            return []
        chunks = view.iter_chunks(pack)
        if is_trusted:
            return [(o, row) for o, row in chunks if keys.place(pack, o) in fresh]
        return list(chunks)

    def _refuse_clash(self, view: View, pack: int, fresh: set[bytes]) -> None:
        """Look whether a fresh chunk would be written over one that the folder's index knows.

        Raises:
            BackupRefused: it would.
        """
        assert self.known is not None  # noqa: S101 - or nothing would be fresh
        old = list(self.known.view.iter_chunks(pack))
        starts = [offset for offset, _ in old]
        for chunk in view.iter_chunks(pack):
            index = (
                bisect_right(starts, end_of(chunk) - 1) - 1
            )  # the last that begins before it ends
            if keys.place(pack, chunk[0]) in fresh and index >= 0 and end_of(old[index]) > chunk[0]:
                raise BackupRefused(
                    f"{self.folder.path}: pack {pack:016x} has other bytes at {chunk[0]} than this "
                    "store: they are two that grew from one; back up to another folder"
                )

    def _iter_missing(self, target: int, wanted: Sequence[Chunk], size: int) -> Iterator[Chunk]:
        """Those of `wanted` that a file of `size` bytes has not, or not as they were.

        What it has was left by a backup that did not come to its end, or is doubted.
        """
        there = [chunk for chunk in wanted if end_of(chunk) <= size]
        for piece in iter_pieces(target, there):
            if piece.data is None:
                yield from piece.chunks
            else:
                self.advance(len(piece.data))
        yield from wanted[len(there) :]

    def _fill(self, pack: int, target: int, wanted: Sequence[Chunk]) -> None:
        with _source(self.root, pack) as source:
            ahead = 0
            announce = partial(Fence(self.root).announce, pack)
            for piece in iter_pieces(source, wanted, announce):
                if piece.data is None:
                    self.damaged.append(Range(pack, piece.start, piece.stop))
                    continue
                _write(target, piece)
                self.advance(len(piece.data))
                self.copied += len(piece.data)
                if piece.stop - ahead >= WRITEBACK:
                    start_writeback(target, ahead, piece.stop - ahead)
                    ahead = piece.stop


def free_dead(folder: Folder, view: View, pack: int, row: Pack) -> None:
    """Give back the pages of a pack that no chunk is on, where the file system can."""
    used = [(offset, chunk.length) for offset, chunk in view.iter_chunks(pack)]
    with suppress(OSError), _closing(folder.open_pack(pack, writes=True)) as target:
        for offset, length in gaps_between(used, row.length):
            punch_hole(target, offset, length)


@contextmanager
def _source(root: Path, pack: int) -> Iterator[int | None]:
    """The pack in the store; None when it is lost: then all of it is damaged."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(layout.pack_path(root, pack), flags)
    except FileNotFoundError:
        yield None
        return
    with _closing(descriptor):
        # Nothing may come in beside what was announced; the reads are large anyway.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        yield descriptor


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(target: int, piece: Piece) -> None:
    assert piece.data is not None  # noqa: S101 - of a sound piece
    done = 0
    while done < len(piece.data):
        done += os.pwrite(target, piece.data[done:], piece.start + done)
