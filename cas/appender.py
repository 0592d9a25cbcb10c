"""The active pack: new chunks of mostly known blobs are appended, and synced in groups.

Requests that arrive while one group is synced form the next: one `fdatasync` for all of them. At
SEAL_SIZE the pack is sealed, and a new, empty one is made durable before anything points at it.
"""

import errno
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import trio

from cas import layout
from cas.errors import Busy, CasError, Damaged, StorageFull, StoreFailed, from_system
from cas.fence import Fence
from cas.pins import Pins
from index.environment import sync_directory
from index.errors import IndexFault, NoSpace, WriterBusy

SEAL_SIZE: Final = 256 << 20  # bytes; a sealed pack is never changed in place
MAX_WAITING: Final = 256  # requests, each an open upload
_ENDED: Final = "it is shutting down"


class ActivePack(NamedTuple):
    """The pack that appends go to, its length, and the id that the next one will have."""

    pack: int
    length: int
    following: int  # in the index beforehand: recovery knows which file may be a leftover


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a request's bytes lie, and how long the pack is with them, synced."""

    pack: int
    offset: int
    pack_length: int


@dataclass(slots=True)
class _Request:
    source: Path
    runs: Sequence[tuple[int, int]]  # (offset, length) in the source
    done: trio.Event = field(default_factory=trio.Event)
    offset: int = 0
    result: Appended | None = None
    error: CasError | None = None


class _PackLost(Exception):
    def __init__(self, pack: int) -> None:
        super().__init__(pack)
        self.pack = pack


class Appender:
    """The only one who appends to packs. `activate(new pack)` writes it into the index."""

    def __init__(
        self,
        root: Path,
        active: "ActivePack",
        activate: Callable[[int], Awaitable[int]],
        pins: Pins,
    ) -> None:
        self._root = root
        self._pins = pins
        self._fence = Fence(root)
        self._pack, self._length, self._next = active
        self._activate = activate
        self._ready, self._requests = trio.open_memory_channel[_Request](MAX_WAITING)
        self.syncs = 0
        self.failure: str | None = None  # why nothing can be appended any more
        self._has_ended = False
        self._is_to_seal = False

    async def append(self, source: Path, runs: Sequence[tuple[int, int]]) -> Appended:
        """Copy `runs` of the file `source` to the active pack, one after the other, and sync.

        The pack is pinned for the caller, who lets go of it when the index knows of the bytes.

        Raises:
            StorageFull, Damaged: nothing was kept.
            Busy: too many wait.
            StoreFailed: the sync failed; the process must end.
        """
        request = _Request(source, runs)
        if self.failure is not None or self._has_ended:
            raise StoreFailed(self.failure or _ENDED)
        try:
            self._ready.send_nowait(request)
        except trio.WouldBlock:
            raise Busy("the queue of blobs to be written") from None
        with trio.CancelScope(shield=True):
            await request.done.wait()
        if request.error is not None:
            raise request.error
        assert request.result is not None  # noqa: S101 - one of the two is set
        return request.result

    async def seal(self) -> bool:
        """Go on with a new pack, so that the active one can be collected.

        False: not now, the disk is full or too many wait.

        Raises:
            StoreFailed: as `append`.
        """
        self._is_to_seal = True
        try:
            appended = await self.append(Path(), ())
        except (Busy, StorageFull):
            return False
        self._pins.let_go(appended.pack)
        return self._pack != appended.pack

    async def run(self) -> None:
        """Serve requests until cancelled; after a failure, or the end, each is told of it."""
        try:
            async for first in self._requests:
                with trio.CancelScope(shield=True):
                    await self._serve([first, *self._take_waiting(MAX_WAITING - 1)])
        finally:
            # Those who wait are shielded: without an answer they would keep the process alive.
            self._has_ended = True
            for request in self._take_waiting(MAX_WAITING):
                request.error = StoreFailed(self.failure or _ENDED)
                request.done.set()

    def _take_waiting(self, most: int) -> list[_Request]:
        taken: list[_Request] = []
        with suppress(trio.WouldBlock):
            while len(taken) < most:
                taken.append(self._requests.receive_nowait())
        return taken

    async def _serve(self, group: list[_Request]) -> None:
        if self.failure is None:
            try:
                await self._write_somewhere(group)
            except OSError as error:
                # What the pack holds now is unknown: recovery cuts it back.
                self.failure = f"the active pack could not be written: {error}"
        for request in group:
            if request.result is None and request.error is None:
                request.error = StoreFailed(self.failure or "unknown")
            if request.result is not None:
                self._pins.take(request.result.pack)  # before it is sealed, and may be collected
        if self.failure is None and (self._length >= SEAL_SIZE or self._is_to_seal):
            await self._roll()
        for request in group:
            request.done.set()

    async def _write_somewhere(self, group: list[_Request]) -> None:
        """A pack that lost its file, or the end of it, is left as it is for the next one."""
        try:
            await trio.to_thread.run_sync(self._write, group)
        except _PackLost as error:
            await self._roll()
            if error.pack != self._pack:
                await trio.to_thread.run_sync(self._write, group)
            for request in group:
                if request.result is None and request.error is None:
                    what = "bytes of it are lost, and no other one can be made now"
                    request.error = Damaged(f"pack {error.pack:016x}", what)

    def _write(self, group: list[_Request]) -> None:
        path = layout.pack_path(self._root, self._pack)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _PackLost(self._pack) from None
        except OSError as error:
            for request in group:
                request.error = from_system(error, f"pack {path.name}")
            return
        try:
            if os.fstat(descriptor).st_size < self._length:
                raise _PackLost(self._pack)  # to append would hide that behind a hole
            # To write behind bytes on the same page reads these in, if memory has lost them.
            self._fence.announce(self._pack, max(0, self._length - 1), self._length + 1)
            for request in group:
                self._copy(request, descriptor)
            os.fdatasync(descriptor)  # never retried: an error here ends the process
            self.syncs += 1
        finally:
            os.close(descriptor)
        for request in group:
            if request.error is None:
                request.result = Appended(self._pack, request.offset, self._length)

    def _copy(self, request: _Request, descriptor: int) -> None:
        start = self._length
        if not request.runs:
            return
        try:
            with request.source.open("rb", buffering=0) as source:
                for offset, length in request.runs:
                    _copy_range(source.fileno(), descriptor, (offset, length), self._length)
                    self._length += length
        except OSError as error:
            self._length = start
            os.ftruncate(descriptor, start)
            found = from_system(error, f"pack {self._pack:016x}")
            if isinstance(found, Damaged):
                raise
            request.error = found
        request.offset = start

    async def _roll(self) -> None:
        """Go on with a new pack; on a full disk with the old one, until the next group."""
        pack = self._next
        try:
            await trio.to_thread.run_sync(create_pack, self._root, pack)
            self._next = await self._activate(pack)
        except (NoSpace, WriterBusy):
            return
        except OSError as error:
            if isinstance(from_system(error, ""), Damaged):
                self.failure = f"a new pack could not be made: {error}"
        except IndexFault as error:
            self.failure = str(error)
        else:
            self._pack, self._length, self._is_to_seal = pack, 0, False


def create_pack(root: Path, pack: int) -> None:
    """Make an empty pack durable; one that a crash left behind is emptied."""
    path = layout.pack_path(root, pack)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    sync_directory(root / layout.PACKS)


def _copy_range(source: int, target: int, run: tuple[int, int], position: int) -> None:
    offset, length = run
    done = 0
    while done < length:
        count = os.copy_file_range(source, target, length - done, offset + done, position + done)
        if count == 0:
            raise OSError(errno.EIO, "the upload is shorter than it was")
        done += count
