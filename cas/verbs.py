"""The seven verbs by which everything above reaches bytes and references.

Two implementations stand behind them: `cas.local` in process, and `cas.remote.client` in a worker,
over a Unix socket to `cas.remote.daemon`. `tests/conformance` holds one suite for all. Neither LMDB
nor file descriptors appear here.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self, TypeVar

import msgspec

from cas.digest import Digest
from index.changes import Change, ImageName
from index.expectations import Expectation
from index.view import View as IndexView

T = TypeVar("T")


_NOWHERE: Final = ImageName("", "")


@dataclass(frozen=True, slots=True)
class Owner:
    """Who may go on with an upload: one principal in one image. Both are in the session's MAC.

    The upload of a single-flight key has no owner but the key, in an image that no request can
    name: no client reaches it by its id.
    """

    image: ImageName
    principal: str
    algorithm: str = "sha256"  # hashed while the bytes arrive; any other is hashed again at the end

    @classmethod
    def of_key(cls, key: str, algorithm: str) -> Self:
        """The owner of a key's upload."""
        return cls(_NOWHERE, key, algorithm)

    @property
    def key(self) -> str | None:
        """The single-flight key that this is the owner of, if it is one's."""
        return self.principal if self.image == _NOWHERE else None


@dataclass(frozen=True, slots=True)
class Adopt:
    """Turn what `upload` holds into the object `digest` (a change, with those of `index.changes`).

    Fails with DigestMismatch when the bytes hash to something else; the session is then gone.
    After any other failure the session can be resumed.
    """

    upload: str  # the session id
    digest: Digest
    owner: Owner  # the upload's


StoreChange = Change | Adopt


class Fsck(msgspec.Struct, frozen=True, tag=True):
    """Recount everything on one snapshot; its report is a Report."""


class Collect(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Free what nothing refers to any more; its report is Collected.

    `is_dry` changes nothing and tells Due for each thing that would go, and why. `is_thorough`
    frees all dead bytes of packs; otherwise those stay that a rewrite is not worth yet.
    """

    is_dry: bool = False
    is_thorough: bool = True


class Scrub(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Hash what the disk holds against what was stored; its report is Scrubbed.

    One that came to no end goes on with the next. With `bytes_per_second` 0 it is not slowed down.
    """

    bytes_per_second: int = 0


Maintenance = Fsck | Collect | Scrub


@dataclass(frozen=True, slots=True)
class Progress:
    """How far maintenance is: `done` rows of `stage` so far."""

    stage: str
    done: int


@dataclass(frozen=True, slots=True)
class Report:
    """What maintenance found. `drift` has a sentence for everything that is not as it must be."""

    checked: dict[str, int]
    drift: list[str]


@dataclass(frozen=True, slots=True)
class Due:
    """What a collection would take now: `name` as a person knows it, `size` in bytes, and why."""

    kind: str  # "upload", "link", "manifest", "blob", "pack"
    name: str
    size: int
    why: str


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection took, or would take."""

    manifests: int = 0
    blobs: int = 0
    chunks: int = 0
    packs: int = 0  # unlinked or rewritten
    bytes_freed: int = 0  # blocks of the packs before, less those after; of a dry one an estimate
    uploads_expired: int = 0
    duration_seconds: float = 0.0
    links: int = 0  # of images, to what nothing there refers to
    postponed: int = 0  # packs that are in use or held by a backup, or that the disk refused
    most_rows: int = 0  # written in one transaction


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What a scrub found. `damaged` has a sentence for each place, with the images it hurts."""

    packs: int = 0
    chunks: int = 0
    objects: int = 0  # that live in the index
    bytes: int = 0
    found: int = 0  # chunks and objects that were not known as damaged
    mended: int = 0  # known as damaged, and sound
    standing: int = 0  # chunks and objects that are damaged at the end
    damaged: tuple[str, ...] = ()  # where; at most 1,000 sentences
    is_resumed: bool = False  # it went on where an earlier one ended
    duration_seconds: float = 0.0


Told = Progress | Report | Due | Collected | Scrubbed


class Peer(Protocol):
    """A connected socket that does not block."""

    def fileno(self) -> int:
        """Its descriptor."""


class Blob(Protocol):
    """Bytes of one object, held open: they stay readable whatever is deleted meanwhile."""

    @property
    def size(self) -> int:
        """Bytes of the whole object."""

    @property
    def extents(self) -> int:
        """How many runs of pack bytes what was opened has; 0 when it lives inline in the index."""

    def read(self, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` (clamped to the size); blocks on the disk: call it in a thread.

        Raises:
            Damaged: the bytes are missing or are not what was stored.
        """

    def send(self, peer: Peer, start: int, stop: int) -> int:
        """Send bytes of `start` to `stop` that are in memory and checked; returns how many went.

        Never waits for a disk; 0 means that `load` comes first. `stop` is at most the size.

        Raises:
            BlockingIOError: the socket is full.
            OSError: the peer takes nothing more.
        """

    def peek(self, start: int, stop: int) -> bytes:
        """As `send`, for who must see the bytes: those from `start` on that are at hand, or none.

        Raises:
            Damaged: as `read`.
        """

    def load(self, start: int, stop: int) -> None:
        """Read in and check what `send` and `peek` want; blocks on the disk: call it in a thread.

        Raises:
            Damaged: as `read`.
        """

    def close(self) -> None:
        """Let go; a second close does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...


class Growing(Blob, Protocol):
    """Bytes of an upload, held open while it grows: a `Blob` that is not whole yet.

    What `size` counted once never changes and stays readable, also when the upload was committed,
    wherever its bytes lie then, or ended. Nobody vouches for it before `is_verified`: hold back
    the end of what you pass on until then, and pass on none of it when `wait` raises.
    """

    @property
    def size(self) -> int:
        """Bytes there are now: `read`, `send`, `peek` and `load` want a `stop` of no more."""

    @property
    def is_committed(self) -> bool:
        """Whether all bytes are here and their digest was right, as far as `wait` has learned."""

    @property
    def is_verified(self) -> bool:
        """Whether all bytes are here and hash to the digest; they need not be durable yet."""

    async def wait_committed(self) -> None:
        """Wait until it is committed.

        Raises:
            As `wait`.
        """

    async def wait(self, offset: int) -> int:
        """Wait until there are more than `offset` bytes, or all, verified; returns the size.

        Returns at once for what is there. All followers of a process share one wait, and are woken
        by what came within some milliseconds together, but by the end at once.

        Raises:
            UploadUnknown: it was cancelled, expired or was not what it should be: its bytes may be
                wrong.
            UploadOrphaned: stage its session and key; it goes on with whoever does so first.
            DaemonAway: for seconds now; as UploadOrphaned.
        """


class View(IndexView, ABC):
    """A read snapshot: everything of `index.view.View`, and `open`. Valid only within `read`."""

    __slots__ = ()

    @abstractmethod
    def open(self, digest: Digest, start: int = 0, stop: int | None = None) -> Blob:
        """Hold the object's bytes open beyond the snapshot; the caller closes the blob.

        Only `start` to `stop` (None: the end) may be read of it: a range costs what it covers.

        Raises:
            BlobUnknown: nothing live under this digest.
            Damaged: it lives in the index, and is known to be damaged there.
        """


class Upload(Protocol):
    """A resumable session, durable against a crash of the process; `id` goes into its Location."""

    @property
    def id(self) -> str:
        """The session id: nonce, algorithm and MAC, in lower-case hex."""

    @property
    def owner(self) -> Owner:
        """Who commits it, for `Adopt`: of one with a key, nobody but the key."""

    @property
    def size(self) -> int:
        """Bytes held so far: the offset at which the next append must begin."""

    async def append(self, offset: int, *data: bytes | bytearray | memoryview) -> int:
        """Append pieces, a few MiB together at most, at `offset`; returns the new size.

        Waits while too much of this upload is not hashed yet (that is the back-pressure).

        Raises:
            OffsetMismatch: `offset` is not the size; nothing was written.
            UploadUnknown: cancelled, expired or committed meanwhile.
            UploadSealed: it is being committed.
            StorageFull: what fitted is kept; `size` says how much.
        """

    async def receive(self, offset: int, peer: Peer, most: int) -> int:
        """`append` of what waits in a socket, at most `most` bytes, a few MiB; never waits for it.

        Raises:
            StorageFull: what was taken and did not fit is lost: the socket is of no more use.
            And as `append`.
        """

    def open(self) -> Growing:
        """Hold its bytes open, to read them while they come; the caller closes it.

        Raises:
            UploadUnknown: it ended or was committed: look again for the object, then stage again.
            Busy: too many files are open.
        """

    async def leave(self) -> None:
        """Go away from an upload with a key, whose bytes another caller may go on with by `stage`.

        As if this process died; one that nobody takes over ends within minutes. Without a key,
        nothing happens.

        Raises:
            UploadUnknown: it ended.
        """

    async def cancel(self) -> None:
        """End the session and free its bytes; a second cancel raises UploadUnknown."""


class Store(Protocol):
    """All seven verbs. Every error is of `cas.errors` or `index.errors`.

    All but `read` may raise DaemonAway, where the writer is another process.
    """

    def read(self, look: Callable[[View], T]) -> T:
        """Run `look` on one snapshot and return what it returns; it may be run more than once.

        `look` is sync, has no side effects but opening blobs, and keeps nothing of the view.
        """

    async def stage(
        self, owner: Owner, *, session: str | None = None, key: str | None = None
    ) -> tuple[Upload, bool]:
        """Begin an upload, or find one: by its `session` id, or by a single-flight `key`.

        The bool says whether the caller is the one who appends: it began the upload, or took over
        one with a key whose owner is gone, from `Upload.size` on. All others may follow it. Who is
        to append looks again first whether what the key stands for was committed meanwhile.

        With both, the key finds what it leads to; if that is nothing, since a restart, its
        `session` goes on. With a key `owner` counts only for its algorithm: see `Upload.owner`.

        Raises:
            UploadUnknown: `session` is not of this owner or key, or ended.
            StorageFull: below the free-space watermark.
        """

    async def wait_grown(self, upload: Upload, offset: int) -> int:
        """Wait until `upload` holds more than `offset` bytes or ended; returns its size.

        Raises:
            UploadUnknown: it was cancelled or expired.
            UploadOrphaned: its owner is gone: whoever stages its session and key first goes on.
        """

    async def commit(
        self, changes: Sequence[StoreChange], expectations: Sequence[Expectation] = ()
    ) -> int:
        """Apply all changes or none, durably; returns the revision of the index.

        Raises:
            ExpectationsFailed: by name, all that did not hold.
            DigestMismatch, UploadUnknown, OffsetMismatch, ObjectTooLarge, TargetMissing,
            StorageFull, Busy, StoreFailed.
        """

    async def extend(self, image: ImageName, digest: Digest) -> None:
        """Renew the lease of a link that nothing refers to, at most once per 30 minutes.

        Raises:
            BlobUnknown: the image has no such link; none is made.
        """

    def maintain(self, task: Maintenance) -> AsyncGenerator[Told, None]:
        """Run one kind of maintenance; yields progress, and last its report.

        To leave it early stops it between two steps: nothing is lost, and it goes on another time.
        """
        ...
