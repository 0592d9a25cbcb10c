"""The store in a worker process: reads in place, writes through the daemon's Unix socket.

The index and the packs are opened read-only here, so reads go on while the daemon is away. An
upload's bytes are appended to `uploads/` here too; the daemon is told how many, hashes them, and
alone writes packs and index.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import trio

from cas import layout, view
from cas.checking import MAX_OBJECT
from cas.digest import Digest
from cas.errors import (
    CasError,
    DaemonAway,
    ObjectTooLarge,
    StoreFailed,
    UploadUnknown,
)
from cas.failing import Failing
from cas.harm import Damage
from cas.local import StoreSettings
from cas.maintenance.quarantine import standing
from cas.packs import Packs
from cas.remote import wire
from cas.remote.calls import Calls
from cas.reporting import keep_reporting
from cas.stats import Stats, count
from cas.tasks import background
from cas.uploads import staging
from cas.uploads.following import Following, Growth
from cas.uploads.underway import UnderWay
from cas.verbs import Growing, Maintenance, Owner, Peer, StoreChange, Told, Upload, View
from index.changes import ImageName, MarkDamaged, PutObject
from index.environment import Environment, open_snapshots
from index.errors import IndexFailed
from index.expectations import Expectation
from index.records import Place

T = TypeVar("T")

_WRITERS: Final = 8  # appends of this process that block on the disk at once


class RemoteStore:
    """`cas.verbs.Store` in a worker. Made by `connect_store`.

    All that goes to the daemon raises DaemonAway when it cannot be reached, or when the connection
    breaks before the answer. Nothing is repeated here, for the outcome may be unknown; but all of
    it may be asked again: a commit of what was committed finds its objects, links and tags there
    (or an expectation that fails, as after anybody else's), and an upload says how much it holds.
    """

    def __init__(
        self, root: Path, socket_path: Path, settings: StoreSettings, environment: Environment
    ) -> None:
        self._root = root
        self._failing = Failing()
        self._calls = Calls(socket_path, self._failing.fail)
        self._min_free = settings.min_free_bytes
        self._environment = environment
        self._packs = view.packs_of(root, environment)
        self._writers = trio.CapacityLimiter(_WRITERS)
        self.following = Following(root, self._wait_grown)

    @property
    def packs(self) -> Packs:
        """The packs that are open in this process."""
        return self._packs

    # --- reads: never by the daemon ---

    def read(self, look: Callable[[View], T]) -> T:
        """See `cas.verbs.Store`."""
        try:
            return view.read(self._environment, self._packs, look)
        except IndexFailed as error:
            raise self._failing.fail(error.reason) from error

    async def stats(self) -> Stats:
        """What is stored and what that saves; counted here, so the daemon may be away."""
        return await count(self._environment, self._root)

    async def under_way(self) -> list[UnderWay]:
        """The uploads that are staged.

        Raises:
            DaemonAway.
        """
        return list((await self._calls.call(wire.ListUploads(), wire.Uploads)).items)

    # --- uploads ---

    async def stage(
        self, owner: Owner, *, session: str | None = None, key: str | None = None
    ) -> tuple[Upload, bool]:
        """See `cas.verbs.Store`. Who is cancelled learns of what was staged for it first.

        Raises:
            DaemonAway.
        """
        if key is not None:
            await self._calls.be_present()
        reply = await self._calls.call_whole(wire.Stage(owner, session, key), wire.Staged)
        return RemoteUpload(self, reply), reply.is_owner

    async def wait_grown(self, upload: Upload, offset: int) -> int:
        """See `cas.verbs.Store`.

        Raises:
            DaemonAway.
        """
        if not isinstance(upload, RemoteUpload):
            raise UploadUnknown(upload.id)
        upload.size = (await self._wait_grown(upload, offset)).size
        return upload.size

    async def _wait_grown(self, upload: "RemoteUpload", offset: int, linger: float = 0.0) -> Growth:
        request = wire.WaitGrown(upload.owner, upload.id, offset, linger)
        reply = await self._calls.call(request, wire.Growth, self._calls.followers)
        return Growth(reply.size, reply.is_committed, reply.is_verified)

    async def append(
        self, upload: "RemoteUpload", offset: int, *data: bytes | bytearray | memoryview
    ) -> int:
        """Append here."""
        return await self._grow(upload, staging.append, offset, *data)

    async def receive(self, upload: "RemoteUpload", offset: int, peer: Peer, most: int) -> int:
        """Receive here."""
        return await self._grow(upload, staging.receive, offset, peer.fileno(), most)

    async def _grow(self, upload: "RemoteUpload", step: Callable[..., int], *args: object) -> int:
        """Take a step of `staging` here and tell the daemon, whose answer is the back-pressure."""
        staging.check_space(self._root, self._min_free)
        path = layout.upload_path(self._root, upload.id)
        try:
            size = await trio.to_thread.run_sync(step, path, *args, limiter=self._writers)
        except CasError:
            with suppress(UploadUnknown):
                upload.size = staging.size_of(path)  # what fitted before the error is kept
            raise
        upload.size = size  # and not the daemon's: another client may have appended meanwhile
        if upload.owner.key is not None:
            await self._calls.be_present()  # after a restart it learns of the key by what follows
        request = wire.Grown(upload.owner, upload.id)
        await self._calls.call(request, wire.Number, self._calls.appends)
        return size

    async def leave(self, upload: "RemoteUpload") -> None:
        """Let another go on with what has a key."""
        await self._calls.call(wire.Leave(upload.owner, upload.id), wire.Done)

    async def cancel(self, upload: "RemoteUpload") -> None:
        """End the session."""
        await self._calls.call(wire.Cancel(upload.owner, upload.id), wire.Done)

    # --- commits ---

    async def commit(
        self, changes: Sequence[StoreChange], expectations: Sequence[Expectation] = ()
    ) -> int:
        """See `cas.verbs.Store`. Cancelled when the daemon began to write, it is done all the same.

        Raises:
            DaemonAway: it may have been committed, or not.
        """
        for change in changes:
            if isinstance(change, PutObject) and len(change.content) > MAX_OBJECT:
                raise ObjectTooLarge(len(change.content), MAX_OBJECT)
        # What readers here have just met counts first: who pushes it again is to mend it.
        found = [MarkDamaged(*place, "") for place in self._packs.damage.take()]
        told = tuple(map(wire.named, (*found, *changes)))
        request = wire.Commit(told, tuple(map(wire.named, expectations)))
        return (await self._calls.call(request, wire.Number)).value

    async def extend(self, image: ImageName, digest: Digest) -> None:
        """See `cas.verbs.Store`.

        Raises:
            DaemonAway.
        """
        await self._calls.call(wire.Extend(image, digest), wire.Done)

    # --- maintenance ---

    async def maintain(self, task: Maintenance) -> AsyncGenerator[Told, None]:
        """See `cas.verbs.Store`.

        Raises:
            DaemonAway.
        """
        async with aclosing(self._calls.stream(wire.Maintain(task), wire.Told)) as replies:
            async for reply in replies:
                yield wire.told(reply.what)

    async def damaged(self) -> list[Damage]:
        """What is damaged now and whom it hurts; found out here, so the daemon may be away."""
        return (await trio.to_thread.run_sync(self._environment.read, standing))[1]

    async def report(self, places: Sequence[Place]) -> None:
        """Tell the daemon what a reader here found damaged; it looks for itself.

        Raises:
            DaemonAway.
        """
        await self.commit([MarkDamaged(*place, "") for place in places])

    @property
    def failure(self) -> str | None:
        """Why this process can not go on; None while all is well, also when the daemon is away."""
        return self._failing.reason

    async def greet(self) -> None:
        """Find out early whether the daemon is of our version; it may be away.

        Raises:
            StoreFailed: it is of another.
        """
        with suppress(DaemonAway):
            await self._calls.be_present()

    async def watch(self) -> None:
        """Raise StoreFailed as soon as this process can not go on."""
        await self._failing.watch()

    def close(self) -> None:
        """Close idle descriptors and connections."""
        self._packs.close()
        self._calls.close()


class RemoteUpload:
    """A staged upload (`cas.verbs.Upload`), as this worker knows it."""

    def __init__(self, store: RemoteStore, staged: wire.Staged) -> None:
        self.id = staged.session
        self.size = staged.size
        self.owner = staged.owner  # with a key, of whoever came first
        self._store = store

    async def append(self, offset: int, *data: bytes | bytearray | memoryview) -> int:
        """See `cas.verbs.Upload`.

        Raises:
            DaemonAway: the bytes are kept, and `size` counts them.
        """
        return await self._store.append(self, offset, *data)

    async def receive(self, offset: int, peer: Peer, most: int) -> int:
        """See `cas.verbs.Upload`.

        Raises:
            DaemonAway: as `append`.
        """
        return await self._store.receive(self, offset, peer, most)

    def open(self) -> Growing:
        """See `cas.verbs.Upload`."""
        return self._store.following.open(self)

    async def leave(self) -> None:
        """See `cas.verbs.Upload`.

        Raises:
            DaemonAway.
        """
        await self._store.leave(self)

    async def cancel(self) -> None:
        """See `cas.verbs.Upload`.

        Raises:
            DaemonAway.
        """
        await self._store.cancel(self)


@asynccontextmanager
async def connect_store(
    root: Path, socket_path: Path, settings: StoreSettings | None = None
) -> AsyncIterator[RemoteStore]:
    """The store of the data directory `root`, whose daemon listens on `socket_path`, for a block.

    The daemon may be away for now; its index must be there.

    Raises:
        IndexFailed: there is no index yet, or it is cut off.
        FormatUnknown: the index is of another version.
        StoreFailed: the daemon is of another version; out of the block too, and also when the index
            cannot be read any more: a new process may find it well.
    """
    with open_snapshots(root / layout.INDEX) as environment:
        store = RemoteStore(root, socket_path, settings or StoreSettings(), environment)
        try:
            await store.greet()
            reporting = partial(keep_reporting, store.packs, environment, store.report)
            async with background(
                store.watch, store.packs.keep_fresh, store.following.run, reporting
            ):
                yield store
        except BaseExceptionGroup as group:  # of the nursery: our failure cancelled all else
            if store.failure is None:
                raise
            raise StoreFailed(store.failure) from group  # that is why all else ended
        finally:
            store.close()
