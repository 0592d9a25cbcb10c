"""Pack files: descriptors for readers, adoption of uploads, appends of what is mostly known.

A reader's open descriptor is its lease: the kernel keeps the bytes whatever is unlinked.
Descriptors are shared and counted; up to MAX_IDLE stay open, least recently used first out.
"""

import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from cas import layout
from cas.errors import Damaged, from_system
from cas.fence import Fence
from cas.reports import Reports
from cas.uploads import followed
from cas.verbs import Peer
from cas.verified import Chunks, Verified
from index.environment import sync_directory
from index.linux import punch_hole
from index.records import Extent

MAX_IDLE: Final = 256  # open descriptors without a reader
REFRESH_SECONDS: Final = 1.0  # so long blocks may stay taken that were freed; 0.1 ms each time
_PAGE: Final = 4096


class Descriptor:
    """An open pack and how many blobs hold it."""

    __slots__ = ("is_stale", "number", "pack", "users", "verified")

    def __init__(
        self, pack: int, number: int, report: Callable[[int, int], None], fence: Fence
    ) -> None:
        self.pack = pack
        self.number = number
        self.users = 0
        self.is_stale = False  # not shared any more: the pack has another file, or none
        self.verified = Verified(pack, number, report, fence)

    def close(self) -> None:
        """Close it for good."""
        self.verified.close()
        os.close(self.number)


class Packs:
    """The open packs of one data directory; used from the event loop's thread only."""

    def __init__(
        self,
        root: Path,
        chunks: Chunks,
        is_gone: Callable[[bytes, int], bool] = lambda *_: True,
    ) -> None:
        self.root = root
        self.chunks = chunks
        self.is_gone = is_gone  # (D, O): whether the object has no other id now
        self.damage = Reports()  # what readers meet
        self._fence = Fence(root)
        self._open: OrderedDict[int, Descriptor] = OrderedDict()
        self._idle = MAX_IDLE

    def held(self, pack: int) -> Descriptor | None:
        """The pack's descriptor, if it is open: it was so before the caller's look."""
        descriptor = self._open.get(pack)
        if descriptor is not None:
            self._open.move_to_end(pack)
        return descriptor

    def hold(self, pack: int) -> Descriptor | None:
        """Open a pack for the next look and count it up; None when its file is not there.

        Raises:
            Busy, Damaged: it is there, but cannot be opened.
        """
        descriptor = self._open.get(pack)
        if descriptor is None:
            try:
                number = os.open(layout.pack_path(self.root, pack), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise from_system(error, f"pack {pack:016x}") from error
            # What the kernel read ahead would be in memory, and yet unchecked.
            os.posix_fadvise(number, 0, 0, os.POSIX_FADV_RANDOM)
            descriptor = Descriptor(pack, number, self.damage.put, self._fence)
            self._open[pack] = descriptor
        descriptor.users += 1
        self._close_idle()
        return descriptor

    def release(self, descriptor: Descriptor) -> None:
        """Let go of a descriptor that was counted up."""
        descriptor.users -= 1
        if descriptor.is_stale and descriptor.users == 0:
            descriptor.close()
        self._close_idle()

    def refresh(self) -> None:
        """Let go of packs whose file was unlinked or replaced: open descriptors keep their blocks.

        A reader keeps what it has, and its descriptor is closed when the last one lets go.
        """
        for pack, descriptor in list(self._open.items()):
            if os.fstat(descriptor.number).st_nlink == 0:
                del self._open[pack]
                if descriptor.users == 0:
                    descriptor.close()
                else:
                    descriptor.is_stale = True

    async def keep_fresh(self) -> None:
        """Refresh every second, until cancelled."""
        while True:
            await trio.sleep(REFRESH_SECONDS)
            self.refresh()

    def close(self) -> None:
        """Close what no reader holds, and from now on whatever the last reader lets go."""
        self._idle = 0
        self._close_idle()

    def _close_idle(self) -> None:
        if len(self._open) <= self._idle:
            return
        for pack in [p for p, d in self._open.items() if d.users == 0]:
            self._open.pop(pack).close()
            if len(self._open) <= self._idle:
                return


class PackBlob:
    """Bytes of one object in packs (`cas.verbs.Blob`)."""

    def __init__(
        self,
        packs: Packs,
        size: int,
        runs: Sequence[tuple[int, Extent]],
        is_gone: Callable[[], bool] = lambda: True,
    ) -> None:
        self.size = size
        self._is_gone = is_gone  # whether what has no chunk rows any more was deleted
        self.extents = len(runs)
        self._packs = packs
        self._starts = [start for start, _ in runs]
        self._runs = [extent for _, extent in runs]
        self._held: dict[int, Descriptor] = {}

    def hold(self) -> list[int]:
        """Count up every pack's descriptor; returns the packs that are not open (then none is)."""
        packs = {extent.pack for extent in self._runs}
        found = {pack: self._packs.held(pack) for pack in packs}
        missing = [pack for pack, descriptor in found.items() if descriptor is None]
        if not missing:
            self._held = {pack: d for pack, d in found.items() if d is not None}
            for descriptor in self._held.values():
                descriptor.users += 1
        return missing

    def read(self, start: int, stop: int) -> bytes:
        """See `cas.verbs.Blob`."""
        stop = min(stop, self.size)
        parts: list[bytes] = []
        while start < stop:
            pack, offset, length = self._run_at(start, stop)
            parts.append(self._read_run(pack, offset, length))
            start += length
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_run(self, pack: int, offset: int, length: int) -> bytes:
        try:
            return self._read_checked(pack, offset, length)
        except OSError as error:
            raise from_system(error, f"pack {pack:016x}") from error

    def _read_checked(self, pack: int, offset: int, length: int) -> bytes:
        held = self._held[pack]
        held.verified.ensure(offset, offset + length, self._packs.chunks, self._is_gone)
        data = b""
        while len(data) < length:
            more = os.pread(held.number, length - len(data), offset + len(data))
            if not more:
                raise Damaged(f"pack {pack:016x}", f"ends at {offset + len(data)}: bytes are lost")
            data = data + more if data else more
        return data

    def send(self, peer: Peer, start: int, stop: int) -> int:
        """See `cas.verbs.Blob`."""
        pack, offset, length = self._run_at(start, stop)
        held = self._held[pack]
        ready = held.verified.ready_to(offset, offset + length) - offset
        return os.sendfile(peer.fileno(), held.number, offset, ready) if ready else 0

    def peek(self, start: int, stop: int) -> bytes:
        """See `cas.verbs.Blob`."""
        pack, offset, length = self._run_at(start, stop)
        held = self._held[pack]
        ready = held.verified.ready_to(offset, offset + length) - offset
        try:
            return os.pread(held.number, ready, offset) if ready else b""
        except OSError as error:
            raise from_system(error, f"pack {pack:016x}") from error

    def load(self, start: int, stop: int) -> None:
        """See `cas.verbs.Blob`."""
        while start < stop:
            pack, offset, length = self._run_at(start, stop)
            try:
                verified = self._held[pack].verified
                verified.ensure(offset, offset + length, self._packs.chunks, self._is_gone)
            except OSError as error:
                raise from_system(error, f"pack {pack:016x}") from error
            start += length

    def _run_at(self, start: int, stop: int) -> tuple[int, int, int]:
        """(pack, offset, length) of the bytes from `start` on that lie together, up to `stop`.

        Raises:
            Damaged: no extent has them.
        """
        index = bisect_right(self._starts, start) - 1
        if index < 0 or start >= self._starts[index] + self._runs[index].length:
            raise Damaged(f"byte {start} of an object", "the index has no place for it")
        extent, skip = self._runs[index], start - self._starts[index]
        return extent.pack, extent.offset + skip, min(extent.length - skip, stop - start)

    def close(self) -> None:
        """See `cas.verbs.Blob`."""
        held, self._held = self._held, {}
        for descriptor in held.values():
            self._packs.release(descriptor)

    def __enter__(self) -> "PackBlob":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class InlineBlob:
    """Bytes of one object that lives in the index (`cas.verbs.Blob`)."""

    extents = 0

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    def read(self, start: int, stop: int) -> bytes:
        """See `cas.verbs.Blob`."""
        return self._content[start:stop]

    def send(self, peer: Peer, start: int, stop: int) -> int:
        """See `cas.verbs.Blob`."""
        return os.write(peer.fileno(), memoryview(self._content)[start:stop])

    def peek(self, start: int, stop: int) -> bytes:
        """See `cas.verbs.Blob`."""
        return self._content[start:stop]

    def load(self, start: int, stop: int) -> None:
        """See `cas.verbs.Blob`; it is in memory."""

    def close(self) -> None:
        """See `cas.verbs.Blob`."""

    def __enter__(self) -> "InlineBlob":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


# --- whole files: sync, for a thread -------------------------------------------------------


def adopt(root: Path, session: str, pack: int) -> None:
    """Give a sealed, synced upload its second name, as a pack, durably. Doing it twice is fine.

    Raises:
        IndexFailed: a name could not be synced.
        OSError: it has no second name.
    """
    # Recovery finds an adoption under way by its first name. Were only the second one on disk
    # after a power cut, the file would stay for ever.
    sync_directory(root / layout.UPLOADS)
    with suppress(FileExistsError):
        os.link(layout.upload_path(root, session), layout.pack_path(root, pack))
    try:
        sync_directory(root / layout.PACKS)  # the other name may be there and yet not be durable
    except OSError:
        disown(root, pack)
        raise


def disown(root: Path, pack: int) -> None:
    """Take an adopted upload's second name away again."""
    layout.pack_path(root, pack).unlink(missing_ok=True)


def punch(root: Path, pack: int, gaps: Sequence[tuple[int, int]]) -> bool:
    """Free whole pages (offset, length) of a pack that no chunk has covered since its commit.

    No extent covers them either, so no reader of an object asks for them. False: somebody follows
    the file as the upload that it was, and reads all of it. See docs/design/0017-followers.md.
    """
    try:
        return _punch(layout.pack_path(root, pack), gaps)
    except OSError:  # it is committed: a disk that cannot punch keeps them, for a rewrite
        return True


def gaps_between(used: Sequence[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """(offset, length) of the whole pages of a file of `size` bytes that `used` leaves out."""
    gaps: list[tuple[int, int]] = []
    end = 0
    for offset, length in (*used, (size, 0)):
        first, last = -(-end // _PAGE) * _PAGE, offset // _PAGE * _PAGE
        if last > first:
            gaps.append((first, last - first))
        end = offset + length
    return gaps


def _punch(path: Path, gaps: Sequence[tuple[int, int]]) -> bool:
    path.chmod(0o600)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o400)
        is_ours = followed.claim(descriptor)
        if is_ours:
            for offset, length in gaps:
                punch_hole(descriptor, offset, length)
    finally:
        os.close(descriptor)
    return is_ours
