"""Followers: readers of an upload's file while another task or process appends to it.

All followers of one upload in a process share a descriptor, and a wait: one call under way however
many they are. What there is to read is told by the file's size, which needs no call at all; a
follower waits only when it has caught up. See docs/design/0017-followers.md.
"""

import copy
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import trio

from cas import layout
from cas.errors import CasError, DaemonAway, Damaged, UploadOrphaned, UploadUnknown, from_system
from cas.resident import Pages
from cas.uploads import followed
from cas.verbs import Peer, Upload

PAUSE: Final = (
    0.02  # seconds between two wakes of an upload's followers: what came meanwhile is one
)
# So long a daemon may be away, and the owner of an upload needs to tell it of its key again.
PATIENCE: Final = 10.0
_RETRY: Final = 0.25  # seconds between two attempts to reach it
_NEVER: Final = 1 << 62  # bytes that no upload has: its end alone is waited for
_PIECE: Final = 1 << 20  # bytes read in at once


class Growth(NamedTuple):
    """What there is of an upload; and whether that is all, and is what it should be."""

    size: int
    is_committed: bool
    is_verified: bool


# (upload, offset, linger) → once there are more than `offset` bytes, but not before `linger`
# seconds unless it ends.
Wait = Callable[[Any, int, float], Awaitable[Growth]]


class Following:
    """The uploads that are followed in this process; one per store."""

    def __init__(self, root: Path, wait: Wait) -> None:
        self._root = root
        self._wait = wait
        self._files: dict[str, _File] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Wait for whoever follows, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            for file in self._files.values():  # who came before us
                if file.waiting:
                    self.watch(file)
            await trio.sleep_forever()

    def open(self, upload: Upload) -> "Follower":
        """See `cas.verbs.Upload.open`."""
        found = self._files.get(upload.id)
        if found is None:
            found = _File(upload, _open(layout.upload_path(self._root, upload.id)))
            self._files[upload.id] = found
        found.users += 1
        return Follower(self, found)

    def release(self, file: "_File") -> None:
        """One follower less; the last one closes the file."""
        file.users -= 1
        if not file.users:
            del self._files[file.upload.id]
            file.close()

    def watch(self, file: "_File") -> None:
        """See to it that those who wait for `file` are told."""
        if not file.is_watched and self._nursery is not None:
            file.is_watched = True
            self._nursery.start_soon(self._watch, file)

    async def wait_end(self, file: "_File") -> Growth:
        """Wait until an upload is committed; see `cas.verbs.Growing.wait_committed`."""
        return await self._wait(file.upload, _NEVER, 0.0)

    async def _watch(self, file: "_File") -> None:
        """Ask for as long as anybody waits."""
        with trio.CancelScope() as file.scope:
            while file.waiting:
                try:
                    growth = await self._ask(file)
                except Exception as error:  # noqa: BLE001 - whoever waits is told, and says it
                    file.fail(error)
                else:
                    file.tell(growth)
        file.is_watched = False

    async def _ask(self, file: "_File") -> Growth:
        """The next growth. A daemon that restarts, and learns again who appends, is waited for."""
        deadline = 0.0
        while True:
            size = file.size
            if any(waiter.offset < size for waiter in file.waiting):
                return Growth(
                    size, file.is_committed, file.is_verified
                )  # it grew since they looked
            linger = max(0.0, file.told_at + PAUSE - trio.current_time())
            try:
                return await self._wait(file.upload, size, linger)
            except (DaemonAway, UploadOrphaned) as error:
                now = trio.current_time()
                if not deadline and isinstance(error, UploadOrphaned):
                    raise
                deadline = deadline or now + PATIENCE
                if now >= deadline:
                    raise
            await trio.sleep(_RETRY)


class _File:
    """One upload's file, and who waits for it to grow."""

    def __init__(self, upload: Upload, descriptor: int) -> None:
        self.upload = upload
        self.descriptor = descriptor
        self.pages = Pages(descriptor)
        self.users = 0
        self.waiting: dict[_Waiter, None] = {}
        self.is_watched = False
        self.scope = trio.CancelScope()
        self.told_at = -PAUSE
        self.is_committed = False
        self.is_verified = False
        self.fault: CasError | None = None  # why no more is to come

    @property
    def size(self) -> int:
        """Bytes there are now."""
        return os.fstat(self.descriptor).st_size

    def tell(self, growth: Growth) -> None:
        """Wake who has something to read now, and at the end everybody."""
        self.is_committed |= growth.is_committed
        self.is_verified |= growth.is_verified or growth.is_committed
        self.told_at = trio.current_time()
        size = self.size
        for waiter in list(self.waiting):
            if self.is_verified or size > waiter.offset:
                self._wake(waiter)

    def fail(self, error: Exception) -> None:
        """Wake everybody: there is nothing to wait for, for now or for ever."""
        if isinstance(error, UploadUnknown):
            self.fault = error
        for waiter in list(self.waiting):
            waiter.error = error
            self._wake(waiter)

    def _wake(self, waiter: "_Waiter") -> None:
        del self.waiting[waiter]
        waiter.is_told.set()

    def resident_to(self, start: int, stop: int) -> int:
        """How far the bytes from `start` on are in memory, at most `stop`."""
        if not self.pages.reaches(stop):
            pages = Pages(self.descriptor, 2 * stop)  # it had less when it was opened
            self.pages.close()
            self.pages = pages
        return self.pages.resident_to(start, stop)

    def close(self) -> None:
        self.scope.cancel()
        self.pages.close()
        os.close(self.descriptor)


class _Waiter:
    """One task that waits for more than `offset` bytes."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.is_told = trio.Event()
        self.error: Exception | None = None


class Follower:
    """One reader of a growing upload (`cas.verbs.Growing`)."""

    extents = 1

    def __init__(self, following: Following, file: _File) -> None:
        self._following = following
        self._file = file
        self._is_closed = False

    @property
    def size(self) -> int:
        """See `cas.verbs.Growing`."""
        return self._file.size

    @property
    def is_committed(self) -> bool:
        """See `cas.verbs.Growing`."""
        return self._file.is_committed

    @property
    def is_verified(self) -> bool:
        """See `cas.verbs.Growing`."""
        return self._file.is_verified

    async def wait_committed(self) -> None:
        """See `cas.verbs.Growing`."""
        file = self._file
        while not file.is_committed:
            if file.fault is not None:
                raise copy.copy(file.fault)
            file.tell(await self._following.wait_end(file))

    async def wait(self, offset: int) -> int:
        """See `cas.verbs.Growing`."""
        file = self._file
        await trio.lowlevel.checkpoint()
        while True:
            if file.fault is not None:
                raise copy.copy(file.fault)  # several tasks raise it: each its own
            size = file.size
            if size > offset or file.is_verified:
                return size
            await self._wait(offset)

    async def _wait(self, offset: int) -> None:
        waiter = _Waiter(offset)
        self._file.waiting[waiter] = None
        self._following.watch(self._file)
        try:
            await waiter.is_told.wait()
        finally:
            self._file.waiting.pop(waiter, None)
        if waiter.error is not None:
            raise copy.copy(waiter.error)

    def read(self, start: int, stop: int) -> bytes:
        """See `cas.verbs.Blob`."""
        data = b""
        try:
            stop = min(stop, self.size)
            while start + len(data) < stop:
                at = start + len(data)
                more = os.pread(self._file.descriptor, stop - at, at)
                if not more:
                    raise Damaged(self._where, f"ends at {at}: bytes are lost")
                data = data + more if data else more
        except OSError as error:
            raise from_system(error, self._where) from error
        return data

    def send(self, peer: Peer, start: int, stop: int) -> int:
        """See `cas.verbs.Blob`."""
        ready = self._file.resident_to(start, stop) - start
        return os.sendfile(peer.fileno(), self._file.descriptor, start, ready) if ready else 0

    def peek(self, start: int, stop: int) -> bytes:
        """See `cas.verbs.Blob`."""
        return self.read(start, self._file.resident_to(start, stop))

    def load(self, start: int, stop: int) -> None:
        """See `cas.verbs.Blob`."""
        while start < stop:
            start += len(self.read(start, min(stop, start + _PIECE)))

    @property
    def _where(self) -> str:
        return f"upload {self._file.upload.id}"

    def close(self) -> None:
        """See `cas.verbs.Blob`."""
        if not self._is_closed:
            self._is_closed = True
            self._following.release(self._file)

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _open(path: Path) -> int:
    """Open an upload that nobody will punch holes into as long as it is open.

    A commit takes the name away before it punches: who has the lock and then finds the name comes
    first.

    Raises:
        UploadUnknown: it ended, or was committed.
        Busy: too many files are open.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise UploadUnknown(path.name) from None
    except OSError as error:
        raise from_system(error, f"upload {path.name}") from error
    if followed.hold(descriptor) and path.exists():
        return descriptor
    os.close(descriptor)
    raise UploadUnknown(path.name)
