"""Make a data directory of a backup, or nothing that a server would start on.

Everything is built where it will lie, but for the index: that is `index.restoring`, which keeps
servers away, until all is copied, checked, recovered and synced. One rename makes it `index`.

The store is given a new active pack, so no pack of the backup ever grows again: should the store
that was backed up go on too, no two packs of the same name will differ in what both have.
"""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio
from blake3 import blake3

from cas import layout, recovery
from cas.backup.folder import BackupRefused, Folder, State, open_for_restore, refusing_full
from cas.backup.marks import settle_marks
from cas.backup.packs import HELD
from cas.checks import fsck
from cas.copying import RUN, Chunk, end_of, iter_pieces, iter_runs
from cas.harm import Damage, Range, harm_of, iter_inline_harm
from cas.progress import Progress, Tell, tell_nobody
from index.environment import Environment, open_environment, sync_directory
from index.lock import hold_directory
from index.placement import activate_pack
from index.records import Pack
from index.view import View
from index.writer import open_writer

# What a fresh file system has, and what a restore that failed may leave.
_FOREIGN: Final = frozenset(("lost+found", "lock"))
_PARTS: Final = (layout.INDEX, layout.PACKS, layout.UPLOADS, layout.RESTORING)
# Not between these two files: the bytes go through us.
_NO_RANGE: Final = frozenset((errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP))


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored; sizes in bytes."""

    packs: int
    bytes_chunks: int
    bytes_index: int
    damaged: tuple[Damage, ...]  # what cannot be pulled; empty, unless damage was allowed
    drift: tuple[str, ...]  # what fsck says


@dataclass(eq=False)
class BackupDamaged(Exception):
    """Not all of the backup is what it was; nothing was restored."""

    path: str
    damaged: Sequence[Damage]
    drift: Sequence[str]

    def __str__(self) -> str:
        first = (
            f"{self.path} is damaged, and nothing was restored (--allow-damage restores the rest):"
        )
        return "\n".join((first, *map(str, self.damaged), *self.drift))


def restore(
    source: Path, data: Path, *, allow_damage: bool = False, tell: Tell = tell_nobody
) -> RestoreReport:
    """Restore the backup in the folder `source` to `data`, which is absent or empty; blocks.

    With `allow_damage`, what is sound is restored, and the rest is reported.

    Raises:
        BackupRefused: it cannot be; nothing is there that was not before.
        BackupDamaged: as that.
        IndexFault, CasError: the index of the backup cannot be used, or was not recovered; as that.
        OSError: a folder cannot be used; as that.
    """
    with open_for_restore(source) as folder:
        state = folder.read_state()
        if state is None or not state.indexes:
            raise BackupRefused(f"{source}: no backup to it has come to its end: there is none yet")
        with _claimed(data), refusing_full(data, "nothing was restored"):
            return _Restore(folder, data, state, tell).run(allow_damage=allow_damage)


@contextmanager
def _claimed(data: Path) -> Iterator[None]:
    """Hold a data directory that is to be made, and leave nothing in it without success.

    Raises:
        BackupRefused: something is there already.
        DirectoryHeld: by another.
    """
    is_new = not data.exists()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = {path.name for path in data.iterdir()} - _FOREIGN
    is_interrupted = layout.RESTORING in found and layout.INDEX not in found
    if found and not is_interrupted:
        raise BackupRefused(f"{data} is not empty: restore to a directory that is new or empty")
    with hold_directory(data):
        is_done = False
        try:
            _remove_parts(data)
            yield
            is_done = True
        finally:
            if not is_done:
                _remove_parts(data)
                if is_new:
                    shutil.rmtree(data)


def _remove_parts(data: Path) -> None:
    """Remove what a restore makes; last what keeps servers away."""
    for name in _PARTS:
        with suppress(FileNotFoundError):
            shutil.rmtree(data / name)
    sync_directory(data)


class _Restore:
    """One run into a directory that is held."""

    def __init__(self, folder: Folder, data: Path, state: State, tell: Tell) -> None:
        self._folder = folder
        self._data = data
        self._state = state
        self._tell = tell
        self._damaged: list[Range] = []

    def run(self, *, allow_damage: bool) -> RestoreReport:
        """Build, check, publish."""
        place = self._data / layout.RESTORING
        for folder in (place, self._data / layout.PACKS, self._data / layout.UPLOADS):
            folder.mkdir(mode=0o700)  # first of all what keeps servers away
            sync_directory(self._data)
        self._tell("index", 0, 0)
        size = self._copy_index(place / "data.mdb", is_strict=not allow_damage)
        with open_environment(place) as environment:
            packs = environment.read(_held_packs)
            if not allow_damage:
                self._refuse_missing(environment, packs)
            environment.read(partial(self._copy_packs, packs=packs))
            damaged = tuple(environment.read(self._harm))
            if damaged and not allow_damage:
                raise BackupDamaged(str(self._folder.path), damaged, ())
            settle_marks(environment, self._damaged)
            drift = tuple(self._settle(environment))
            if drift and not allow_damage:
                raise BackupDamaged(str(self._folder.path), damaged, drift)
        sync_directory(place)
        place.rename(self._data / layout.INDEX)
        sync_directory(self._data)
        return RestoreReport(
            len(packs), sum(row.live for row in packs.values()), size, damaged, drift
        )

    def _copy_index(self, to: Path, *, is_strict: bool) -> int:
        """Copy the index, and look whether it is what was written; returns its bytes.

        Raises:
            BackupRefused: it is not there, or something else.
        """
        hashing = blake3()
        try:
            source = self._folder.open_index()
        except FileNotFoundError:
            raise BackupRefused(f"{self._folder.path} has no index any more") from None
        with os.fdopen(source, "rb", buffering=0) as old, to.open("xb", buffering=0) as new:
            os.fchmod(new.fileno(), 0o600)
            size = 0
            while data := old.read(RUN):
                hashing.update(data)
                _write(new.fileno(), data, size)
                size += len(data)
            os.fsync(new.fileno())
        if is_strict and hashing.hexdigest() not in self._state.indexes:
            raise BackupRefused(
                f"{self._folder.path}: the index is not what was written "
                "(--allow-damage tries all the same)"
            )
        return size

    def _refuse_missing(self, environment: Environment, packs: dict[int, Pack]) -> None:
        """Name packs that are not there, or too short, before any is copied.

        Raises:
            BackupDamaged: there are such.
        """
        missing = [
            Range(pack, size or 0, row.length)
            for pack, row in packs.items()
            if (size := self._folder.pack_size(pack)) is None or size < row.length
        ]
        if missing:
            damaged = environment.read(lambda view: harm_of(view, missing))
            raise BackupDamaged(str(self._folder.path), damaged, ())

    def _copy_packs(self, view: View, packs: dict[int, Pack]) -> None:
        progress = Progress(self._tell, sum(row.live for row in packs.values()))
        for pack, row in packs.items():
            self._copy_pack(pack, row, list(view.iter_chunks(pack)), progress)

    def _copy_pack(self, pack: int, row: Pack, chunks: Sequence[Chunk], progress: Progress) -> None:
        """Copy what lies in a pack, and check the copy."""
        path = layout.pack_path(self._data, pack)
        target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with suppress(FileNotFoundError):
                source = self._folder.open_pack(pack, writes=False)
                try:
                    for run in iter_runs(chunks):
                        _copy_range(source, target, run[0][0], end_of(run[-1]))
                finally:
                    os.close(source)
            os.ftruncate(target, row.length)
            for piece in iter_pieces(target, chunks):
                if piece.data is None:
                    self._damaged.append(Range(pack, piece.start, piece.stop))
                progress.advance(piece.stop - piece.start)
            os.fchmod(target, 0o400)  # sealed
            os.fsync(target)
        finally:
            os.close(target)

    def _harm(self, view: View) -> list[Damage]:
        return [*harm_of(view, self._damaged), *iter_inline_harm(view)]

    def _settle(self, environment: Environment) -> list[str]:
        """Go on with a new pack, recover, recount; returns what fsck says."""
        self._tell("check", 0, 0)
        with environment.begin() as raw:
            pack, following = recovery.new_pack(), recovery.new_pack()
            activate_pack(environment.transaction(raw), pack, following)
        trio.run(_recover, self._data, environment)
        return fsck.run(environment, self._data).drift


async def _recover(data: Path, environment: Environment) -> None:
    with open_writer(environment) as writer:
        await recovery.recover(data, environment, writer)


def _held_packs(view: View) -> dict[int, Pack]:
    return {pack: row for pack, row in view.iter_packs() if row.state in HELD}


def _copy_range(source: int, target: int, start: int, stop: int) -> None:
    """Copy a range to the same place, by the file system if it can; what is missing is a hole."""
    at = start
    while at < stop:
        try:
            count = os.copy_file_range(source, target, stop - at, at, at)
        except OSError as error:
            if error.errno not in _NO_RANGE:
                raise
            data = os.pread(source, min(RUN, stop - at), at)
            _write(target, data, at)
            count = len(data)
        if not count:
            return
        at += count


def _write(target: int, data: bytes, at: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(target, memoryview(data)[done:], at + done)
