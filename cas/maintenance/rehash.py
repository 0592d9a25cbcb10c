"""Hash what the disk holds of packs, a step at a time, against what the index says of them.

Steps read past the page cache (O_DIRECT): what they find is what the disk has, they put nothing
out of memory, and nothing unchecked into it. A file system that cannot do it (tmpfs, whose pages
are all there is) is read in the ordinary way. All is sync, for a thread.
"""

import errno
import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from blake3 import blake3

from cas import layout
from cas.digest import Digest
from cas.errors import Busy, Damaged, from_system
from index.damage import is_hurt
from index.environment import Environment
from index.placement import is_live
from index.records import ChunkAt, Object
from index.view import View

STEP: Final = 4 << 20  # bytes of a step, about: at least one chunk
OBJECTS: Final = 10_000  # of a step: most may live in packs, and cost but a look
CHUNKS: Final = 128  # of a step: marking them all is a transaction of at most 3 rows each
_ALIGNMENT: Final = 4096  # of O_DIRECT; file systems ask for this, or for less
_BUFFER: Final = 1 << 20


@dataclass(slots=True)
class Step:
    """What was found from a place of a pack on."""

    chunks: int = 0
    size: int = 0  # bytes
    following: int | None = None  # the offset at which the next step begins; None: this was all
    bad: dict[int, str] = field(default_factory=dict)  # offset → what is wrong with the chunk there
    lengths: dict[int, int] = field(default_factory=dict)  # offset → bytes of such a chunk
    healed: list[int] = field(default_factory=list)  # marked as damaged, and yet sound
    fresh: int = 0  # bad ones that are not marked

    @property
    def is_settled(self) -> bool:
        """Whether the index says of each chunk what was found."""
        return not self.fresh and not self.healed


class _Rows(NamedTuple):
    chunks: list[tuple[int, ChunkAt]]
    marked: set[int]
    following: int | None


def check_step(environment: Environment, root: Path, pack: int, start: int) -> Step:
    """Hash the chunks of a pack from the first at or beyond `start` on, about STEP bytes.

    The file is opened before the index is asked: whatever is unlinked or replaced meanwhile, it
    has what the index tells of (`cas.view`). Only a file that was not there needs a second look.

    Raises:
        Busy: too many files are open: nothing was found out.
    """
    with _opened(layout.pack_path(root, pack)) as disk:
        rows = environment.read(lambda view: _rows(view, pack, start))
        step = Step(following=rows.following)
        for offset, row in rows.chunks:
            why = disk if isinstance(disk, str) else disk.check(offset, row)
            step.chunks += 1
            step.size += row.length
            if why:
                step.bad[offset] = why
                step.lengths[offset] = row.length
                step.fresh += offset not in rows.marked
            elif offset in rows.marked:
                step.healed.append(offset)
    return step


def forget(root: Path, pack: int, start: int) -> None:
    """Have the system forget a step of a pack, which it reads again then; a hint, no more."""
    with suppress(OSError):
        descriptor = os.open(layout.pack_path(root, pack), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.posix_fadvise(descriptor, start, STEP, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def find_wrong(path: Path, chunks: Iterable[tuple[int, ChunkAt]]) -> dict[int, str]:
    """Hash chunks of a file, whoever it is; offset → what is wrong with the chunk there.

    Raises:
        Busy: as `check_step`.
    """
    with _opened(path) as disk:
        if isinstance(disk, str):
            return {offset: disk for offset, _ in chunks}
        found = ((offset, disk.check(offset, row)) for offset, row in chunks)
        return {offset: why for offset, why in found if why}


def _rows(view: View, pack: int, start: int) -> _Rows:
    """The chunks of a step, if the pack is one that is read; none of those being built are."""
    found: list[tuple[int, ChunkAt]] = []
    size = 0
    rows = islice(view.iter_chunks(pack, start) if is_live(view, pack) else (), CHUNKS + 1)
    for offset, row in rows:
        if found and (size + row.length > STEP or len(found) == CHUNKS):
            marked = {at for at, _ in view.iter_damage(pack, start, offset)}
            return _Rows(found, marked, offset)
        found.append((offset, row))
        size += row.length
    return _Rows(found, {at for at, _ in view.iter_damage(pack, start)}, None)


class _Disk:
    """A file as the disk has it; one step long."""

    def __init__(self, descriptor: int, *, is_direct: bool) -> None:
        self._descriptor = descriptor
        self._is_direct = is_direct
        # Page-aligned, which a bytearray is not.
        self._buffer = memoryview(mmap.mmap(-1, _BUFFER))
        self._start = self._end = 0  # what of the file is in the buffer

    def check(self, offset: int, row: ChunkAt) -> str:
        """Say what is wrong with a chunk, or nothing.

        Raises:
            Busy: the system could not read for now.
        """
        hashing = blake3()
        at, stop = offset, offset + row.length
        try:
            while at < stop:
                piece = self._read(at, stop)
                if not piece:
                    return f"the file ends at {at}"
                hashing.update(piece)
                at += len(piece)
        except OSError as error:
            found = from_system(error, layout.PACKS)
            if not isinstance(found, Damaged):
                raise Busy("the memory for a check") from error
            return f"it cannot be read: {os.strerror(error.errno or errno.EIO)}"
        return "" if hashing.digest() == row.name else "it is not what was stored"

    def _read(self, start: int, stop: int) -> memoryview:
        """Bytes from `start` on, at most to `stop`; valid until the next read."""
        if not self._start <= start < self._end:
            self._fill(start, stop)
        return self._buffer[start - self._start : max(0, min(stop, self._end) - self._start)]

    def _fill(self, start: int, stop: int) -> None:
        first = start // _ALIGNMENT * _ALIGNMENT
        self._start = self._end = first
        try:
            found = os.preadv(self._descriptor, [self._buffer], first)
        except OSError as error:
            if self._is_direct and error.errno == errno.EINVAL:
                self._go_ordinary()  # it wants another alignment
            # Only what is asked for: what cannot be read may be a neighbour.
            last = -(-stop // _ALIGNMENT) * _ALIGNMENT
            found = os.preadv(self._descriptor, [self._buffer[: last - first]], first)
        self._end = max(first, first + found)

    def _go_ordinary(self) -> None:
        path = f"/proc/self/fd/{self._descriptor}"
        ordinary = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.dup2(ordinary, self._descriptor, inheritable=False)
        finally:
            os.close(ordinary)
        self._is_direct = False

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def _opened(path: Path) -> Iterator[_Disk | str]:
    """The file for a block; or why nobody can read it.

    Raises:
        Busy: too many files are open.
    """
    try:
        descriptor, is_direct = _open(path)
    except FileNotFoundError:
        yield "the file is missing"
        return
    except OSError as error:
        found = from_system(error, layout.PACKS)
        if not isinstance(found, Damaged):
            raise Busy("the table of open files") from error
        yield f"the file cannot be opened: {os.strerror(error.errno or errno.EIO)}"
        return
    disk = _Disk(descriptor, is_direct=is_direct)
    try:
        yield disk
    finally:
        disk.close()


def _open(path: Path) -> tuple[int, bool]:
    flags = os.O_RDONLY | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_DIRECT), True
    except OSError as error:
        if error.errno != errno.EINVAL:  # the file system cannot do it
            raise
    return os.open(path, flags), False


# --- objects that live in the index --------------------------------------------------------


@dataclass(slots=True)
class Inlines:
    """What was found of objects that live in the index."""

    objects: int = 0
    size: int = 0  # bytes
    following: bytes | None = None  # the last D looked at; None: this was all
    doubtful: list[bytes] = field(default_factory=list)  # those of which the index may be wrong


def check_inlines(view: View, after: bytes) -> Inlines:
    """Hash the objects in the index beyond the digest `after`, about STEP bytes."""
    step = Inlines()
    for looked, (digest, value) in enumerate(view.scan("object", after=after or None)):
        row = Object.decode(value)
        content = view.inline(row.id)
        if content is not None:
            step.objects += 1
            step.size += len(content)
            if is_sound(digest, content) == is_hurt(view, row):
                step.doubtful.append(digest)
        if step.size >= STEP or looked >= OBJECTS:
            step.following = digest
            break
    return step


def is_sound(digest: bytes, content: bytes) -> bool:
    """Whether content is what its D says."""
    expected = Digest(digest)
    return Digest.of(content, expected.algorithm) == expected
