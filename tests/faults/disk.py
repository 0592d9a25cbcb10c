"""A model of a file system that knows what is durable, and what a power cut may leave.

Pure. It is told of calls in the order in which they were made, and says what may be on the disk if
the power goes now. What it takes from POSIX, and from what ext4 (data=ordered) and xfs do:

- Bytes, size and mode of a file that were there when an `fsync` of it began are on disk once it has
  ended; after `fdatasync` the mode may not be. A write to a descriptor with O_DSYNC is there alone,
  once it has ended, with the size that it needs. Nothing else is promised.
- Any other write may be there or not, in any order, and torn: each sector of 512 bytes has the
  content of any moment since it was durable. (A sector is whole: disks promise that.) The size
  is that of any moment, by itself; bytes that were never written below it are zero, never
  somebody else's. What a truncation on disk cut off does not come back.
- A name made, changed or removed is durable once its directory was synced; before that each change
  may be on disk or not, whatever became of others (POSIX), or those up to some moment are (a
  journal): the dice choose. Changes of one name keep their order, and a rename is all or nothing.
  That a new file's own fsync also saves its name (ext4, xfs) is not relied on.
- A lost name loses its file, be its bytes synced or not; an unlinked file whose unlink did not
  reach the disk is back.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

SECTOR: Final = 512  # bytes that a disk writes as a whole
_PAGE: Final = 4096


class Write(NamedTuple):
    """Bytes at an offset; a punched hole is zeros."""

    offset: int
    data: bytes


class Resize(NamedTuple):
    """The file has this many bytes now."""

    size: int


class Mode(NamedTuple):
    """Its permissions."""

    bits: int


Change = Write | Resize | Mode


@dataclass(eq=False)
class File:
    """An inode: what is durable of it, and what was done to it since."""

    mode: int
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    @property
    def content(self) -> bytes:
        """What a reader sees now."""
        return bytes(_applied(self.durable, self.pending))

    def settle(self, changes: Sequence[Change], *, with_mode: bool) -> None:
        """These pending changes are on disk now; a mode only if it was asked for."""
        ours = {id(each) for each in changes if with_mode or not isinstance(each, Mode)}
        settled = [each for each in self.pending if id(each) in ours]
        self.pending = [each for each in self.pending if id(each) not in ours]
        self.durable = _applied(self.durable, settled)
        self.mode = next((e.bits for e in reversed(settled) if isinstance(e, Mode)), self.mode)

    def left(self, dice: random.Random) -> tuple[bytes, int]:
        """Bytes and mode that a power cut may leave."""
        modes = [self.mode, *(each.bits for each in self.pending if isinstance(each, Mode))]
        changes = [each for each in self.pending if not isinstance(each, Mode)]
        upto = dice.choice((0, len(changes), dice.randint(0, len(changes))))  # for the size
        size = len(_applied(self.durable, changes[:upto]))
        reach = max((len(self.durable), size, *(_end(each) for each in changes)))
        found = bytearray(self.durable.ljust(reach, b"\0"))
        written = _written(dice, len(changes), upto)
        for sector, touching in _sectors(changes, reach).items():
            # A truncation that reached the disk took the older bytes with it.
            cuts = [n for n in touching if n < upto and isinstance(changes[n], Resize)]
            reached = max((*cuts, written(touching)))
            for number in touching:
                if number <= reached:
                    _overwrite(found, sector * SECTOR, changes[number])
        return bytes(found[:size].ljust(size, b"\0")), dice.choice(modes)


def _written(dice: random.Random, count: int, upto: int) -> Callable[[Sequence[int]], int]:
    """Choose how writeback went: gives the last of the changes that touch a sector to reach it.

    In the order of the calls; or each write whole, or not; or each sector by itself.
    """
    whole = {number for number in range(count) if dice.random() < 0.5}
    return dice.choice(
        (
            lambda touching: max((n for n in touching if n < upto), default=-1),
            lambda touching: max((n for n in touching if n in whole), default=-1),
            lambda touching: dice.choice((-1, *touching)),
        )
    )


def _applied(durable: bytearray, changes: Sequence[Change]) -> bytearray:
    found = bytearray(durable)
    for change in changes:
        match change:
            case Write(offset, data):
                if len(found) < offset:
                    found.extend(bytes(offset - len(found)))
                found[offset : offset + len(data)] = data
            case Resize(size):
                del found[size:]
                found.extend(bytes(size - len(found)))
    return found


def _end(change: Change) -> int:
    match change:
        case Write(offset, data):
            return offset + len(data)
        case Resize(size):
            return size
    return 0


def _sectors(changes: Sequence[Change], reach: int) -> dict[int, list[int]]:
    """Sector → numbers of the changes that touch it, in order."""
    found: dict[int, list[int]] = {}
    for number, change in enumerate(changes):
        match change:
            case Write(offset, data):
                touched = range(offset // SECTOR, -(-(offset + len(data)) // SECTOR))
            case Resize(size):
                touched = range(size // SECTOR, -(-reach // SECTOR))
            case _:
                continue
        for sector in touched:
            found.setdefault(sector, []).append(number)
    return found


def _overwrite(content: bytearray, start: int, change: Change) -> None:
    """Apply a change to one sector."""
    stop = min(start + SECTOR, len(content))
    match change:
        case Write(offset, data):
            first, last = max(start, offset), min(stop, offset + len(data))
            content[first:last] = data[first - offset : last - offset]
        case Resize(size):
            first = max(start, size)
            content[first:stop] = bytes(max(0, stop - first))


# --- names ---------------------------------------------------------------------------------

Entry = File | None  # None: a folder
Names = dict[PurePosixPath, Entry]
REMOVED: Final = "removed"


class _Renaming(NamedTuple):
    """Changes of names that reach the disk together: a path and what it names then."""

    changes: tuple[tuple[PurePosixPath, "File | str | None"], ...]


class Disk:
    """Files and folders below one folder, which is durable itself."""

    def __init__(self, root: PurePosixPath) -> None:
        self.root = root
        self.names: Names = {}
        self._durable: Names = {}
        self._pending: list[_Renaming] = []

    def name(self, *changes: tuple[PurePosixPath, "File | str | None"]) -> None:
        """Give names, and take those away that are REMOVED; all at once on disk as well."""
        _rename(self.names, _Renaming(changes))
        self._pending.append(_Renaming(changes))

    def begun(self, folder: PurePosixPath) -> list[_Renaming]:
        """The changes in a folder that a sync which begins now makes durable."""
        return [each for each in self._pending if any(p.parent == folder for p, _ in each.changes)]

    def settle(self, changes: Sequence[_Renaming]) -> None:
        """These are on disk now."""
        ours = {id(each) for each in changes}
        for each in self._pending:
            if id(each) in ours:
                _rename(self._durable, each)
        self._pending = [each for each in self._pending if id(each) not in ours]

    def left(self, dice: random.Random) -> Names:
        """Names that a power cut may leave."""
        found = dict(self._durable)
        if dice.random() < 0.5:
            for each in self._pending[: dice.randint(0, len(self._pending))]:
                _rename(found, each)
            return found
        lost: set[PurePosixPath] = set()
        chance = dice.choice((0.1, 0.5, 0.9))
        for each in self._pending:
            paths = {path for path, _ in each.changes}
            if paths & lost or dice.random() > chance:
                lost |= paths
            else:
                _rename(found, each)
        return found

    def crash(self, folder: Path, dice: random.Random) -> None:
        """Write to `folder`, a new one, what a power cut may leave below the root."""
        names = self.left(dice)
        folder.mkdir()
        for path in sorted(names):
            parents = itertools.takewhile(lambda each: each != self.root, path.parents)
            if not all(parent in names for parent in parents):
                continue
            entry, place = names[path], folder / path.relative_to(self.root)
            if entry is None:
                place.mkdir(mode=0o700)
        for entry, places in _by_file(names):
            _put(entry, [folder / each.relative_to(self.root) for each in places], dice)


def _put(file: File, places: Sequence[Path], dice: random.Random) -> None:
    content, mode = file.left(dice)
    found = [place for place in places if place.parent.is_dir()]
    for first in found[:1]:
        _write_sparse(first, content)
        first.chmod(mode)
        for other in found[1:]:
            other.hardlink_to(first)


def _write_sparse(path: Path, content: bytes) -> None:
    """Pages of zeros take no blocks: what was a hole is one again."""
    with path.open("wb") as file:
        for start in range(0, len(content), _PAGE):
            page = content[start : start + _PAGE]
            if page.strip(b"\0"):
                file.seek(start)
                file.write(page)
        file.truncate(len(content))


def _by_file(names: Names) -> Iterator[tuple[File, list[PurePosixPath]]]:
    files = {id(entry): entry for entry in names.values() if entry is not None}
    for number, file in files.items():
        yield file, sorted(path for path, entry in names.items() if id(entry) == number)


def _rename(names: Names, renaming: _Renaming) -> None:
    for path, entry in renaming.changes:
        if isinstance(entry, str):
            names.pop(path, None)
        else:
            names[path] = entry
