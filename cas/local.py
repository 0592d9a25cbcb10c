"""The store in process: one per data directory, behind the seven verbs of `cas.verbs`."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import trio

from cas import layout, recovery, view
from cas.appender import Appender
from cas.checking import check_content, hash_again
from cas.checks import fsck
from cas.digest import Digest
from cas.errors import (
    BlobUnknown,
    CasError,
    Damaged,
    DigestMismatch,
    StoreFailed,
    from_system,
)
from cas.failing import Failing
from cas.harm import Damage
from cas.maintenance.upkeep import Upkeep
from cas.packs import Packs
from cas.pins import Pins
from cas.placing import Placer, Staged, Terms
from cas.reports import reports_of
from cas.stats import Stats, count
from cas.tasks import background, together
from cas.uploads import staging
from cas.uploads.session import Session
from cas.uploads.sessions import ORPHAN, REST, Sessions
from cas.uploads.underway import UnderWay
from cas.verbs import Adopt, Fsck, Maintenance, Owner, Progress, StoreChange, Told, Upload, View
from cas.works import Works
from index import keys
from index.changes import (
    INLINE_LIMIT,
    DeleteRepository,
    ImageName,
    Link,
    MarkDamaged,
    PutObject,
)
from index.environment import Environment, open_environment, sync_directory
from index.errors import ExpectationsFailed, IndexFailed
from index.expectations import Expectation, Linked
from index.ledger import Clock
from index.lock import hold_directory
from index.placement import activate_pack
from index.writer import Writer, open_writer

T = TypeVar("T")

EXTEND_SECONDS: Final = 1800  # a lease is renewed at most once in this time


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How long unreferenced things stay, and when to refuse bytes."""

    grace_seconds: int = 3600
    lease_seconds: int = 3600
    upload_expiry_seconds: int = 86400
    min_free_bytes: int = 64 << 20
    housekeeping_seconds: float = 60.0
    collection_seconds: float = 600.0  # between collections that nobody asks for; 0: never
    scrub_seconds: float = 2_592_000.0  # from one scrub to the next; 0: only when asked
    scrub_bytes_per_second: int = 16 << 20  # of one that nobody asked for; 0: as fast as it goes


class LocalStore:
    """`cas.verbs.Store` in process. Made by `open_store`."""

    def __init__(self, root: Path, settings: StoreSettings, parts: "_Parts") -> None:
        self._root = root
        self._settings = settings
        self._environment = parts.environment
        self._writer = parts.writer
        self._sessions = parts.sessions
        self._appender = parts.appender
        self._packs = view.packs_of(root, parts.environment)
        self._pins = parts.pins
        self._failing = Failing()
        self.now: Callable[[], float] = time.time  # replaced by tests that need another day
        works = Works(
            root=root,
            environment=parts.environment,
            writer=parts.writer,
            appender=parts.appender,
            sessions=parts.sessions,
            packs=self._packs,
            pins=parts.pins,
            clock=self._clock,
            now=lambda: self.now(),
            upload_expiry=settings.upload_expiry_seconds,
        )
        self._placer = Placer(works)
        self._upkeep = Upkeep(works, self._placer, self._failing.maintaining)

    # --- reads ---

    def read(self, look: Callable[[View], T]) -> T:
        """See `cas.verbs.Store`."""
        try:
            return view.read(self._environment, self._packs, look)
        except IndexFailed as error:
            raise self._failing.fail(error.reason) from error

    # --- uploads ---

    async def stage(
        self, owner: Owner, *, session: str | None = None, key: str | None = None
    ) -> tuple[Upload, bool]:
        """See `cas.verbs.Store`."""
        try:
            return await self._sessions.stage(owner, session, key)
        except OSError as error:
            raise from_system(error, layout.UPLOADS) from error

    @property
    def packs(self) -> Packs:
        """The packs that are open in this process."""
        return self._packs

    @property
    def upkeep(self) -> Upkeep:
        """Maintenance."""
        return self._upkeep

    @property
    def pins(self) -> Pins:
        """The packs that work in progress relies on."""
        return self._pins

    @property
    def sessions(self) -> Sessions:
        """The upload sessions, for the daemon: its callers have only their ids."""
        return self._sessions

    async def wait_grown(self, upload: Upload, offset: int) -> int:
        """See `cas.verbs.Store`."""
        return (await self._sessions.follow(upload).wait_grown(offset)).size

    # --- commits ---

    async def commit(
        self, changes: Sequence[StoreChange], expectations: Sequence[Expectation] = ()
    ) -> int:
        """See `cas.verbs.Store`. Once it began to write it is not cancelled."""
        if self.failure is not None:
            raise self._failing.fail(self.failure)
        adopted = [change for change in changes if isinstance(change, Adopt)]
        reports = [change for change in changes if isinstance(change, MarkDamaged)]
        plain = [change for change in changes if not isinstance(change, Adopt | MarkDamaged)]
        for change in plain:
            if isinstance(change, PutObject):
                await check_content(change)
        terms = Terms(plain, expectations, self._clock)
        for report in reports:  # a worker's readers; looked at within a second
            self._packs.damage.put(report.pack, report.offset)
        if not plain and not adopted:
            return self._environment.read(lambda v: v.revision())
        for adopt in adopted:
            await self._believe(adopt.digest)
        with self._failing.committing():
            revision = await self._commit(adopted, terms)
        if any(isinstance(change, DeleteRepository) for change in plain):
            self._upkeep.clearer.wake()
        return revision

    async def _believe(self, digest: Digest) -> None:
        """What readers have just met of an object counts first: who pushes it is to mend it."""
        reported = self._packs.damage.take()
        if not reported:
            return
        look = partial(reports_of, digest=digest, places=reported)
        mine = await trio.to_thread.run_sync(self._environment.read, look)
        for place in set(reported) - set(mine):
            self._packs.damage.put(*place)
        await self._upkeep.believe(mine)

    async def _commit(self, adopted: list[Adopt], terms: Terms) -> int:
        if not adopted:
            return await self._writer.write(terms.apply)
        (adopt,) = adopted  # one upload a commit: that is all the protocol ever needs
        return await self._adopt(adopt, terms)

    async def _adopt(self, adopt: Adopt, terms: Terms) -> int:
        """Shielded: a client that leaves now finds its upload either committed or as it was."""
        session = self._sessions.find(adopt.owner, adopt.upload)
        with trio.CancelScope(shield=True):
            await self._sessions.seal(session)
            try:
                await self._check_upload(session, adopt.digest)
                revision = await self._place(session, adopt.digest, terms)
            except DigestMismatch:
                with suppress(CasError):  # bytes that cannot be freed now expire later
                    self._sessions.discard(session)
                raise
            except (StoreFailed, IndexFailed):
                raise  # it stays sealed: only recovery knows what was committed
            except Exception:  # whatever it was, the client may go on with its upload
                self._sessions.unseal(session)
                raise
            self._sessions.forget(session, is_committed=True)
        return revision

    async def _check_upload(self, session: Session, expected: Digest) -> None:
        """Hash to the end and sync, side by side; small ones are synced with the index."""

        async def finish() -> None:
            await self._sessions.finish(session)
            if session.ingest.digest() == expected:
                session.vouch()  # who follows it need not wait for the disk

        if session.size > INLINE_LIMIT:
            await together(partial(self._sync, session), finish)
        else:
            await finish()
        actual = session.ingest.digest()
        if expected.algorithm != actual.algorithm:
            actual = await trio.to_thread.run_sync(hash_again, session, expected.algorithm)
        if actual != expected:
            raise DigestMismatch(expected, actual)

    async def _sync(self, session: Session) -> None:
        try:
            await trio.to_thread.run_sync(staging.sync, session.path)
        except StoreFailed:
            # The kernel has forgotten which bytes are not on disk: nobody may go on with them.
            with suppress(CasError):
                self._sessions.discard(session)
            raise

    async def _place(self, session: Session, digest: Digest, terms: Terms) -> int:
        if session.size <= INLINE_LIMIT:
            put = PutObject(digest.key, session.path.read_bytes())
            revision = await self._writer.write(lambda t: terms.apply(t, put))
            with suppress(OSError):  # it is committed
                staging.remove(session.path)
            return revision
        staged = Staged(session.id, session.path, digest, session.ingest.chunks)
        revision = await self._placer.place(staged, terms)
        if self._environment.read(lambda v: v.entries("damage")):
            self._upkeep.mender.wake()  # others may have lost what came
        return revision

    async def extend(self, image: ImageName, digest: Digest) -> None:
        """See `cas.verbs.Store`."""
        lease = self._settings.lease_seconds
        due = int(self.now()) + max(lease - EXTEND_SECONDS, lease // 2)
        if not lease or self.read(lambda v: _lease_of(v, image, digest)) >= due:
            return
        try:
            await self.commit([Link(image, digest.key, lease)], [Linked(image, digest.key)])
        except ExpectationsFailed:
            raise BlobUnknown(digest) from None  # to extend a link never makes one

    # --- maintenance ---

    async def stats(self) -> Stats:
        """What is stored and what that saves."""
        return await count(self._environment, self._root)

    async def under_way(self) -> list[UnderWay]:
        """The uploads that are staged."""
        return await self._sessions.under_way()

    async def maintain(self, task: Maintenance) -> AsyncGenerator[Told, None]:
        """See `cas.verbs.Store`."""
        steps = self._fsck() if isinstance(task, Fsck) else self._upkeep.run(task)
        with self._failing.maintaining():
            async with aclosing(steps):
                async for told in steps:
                    yield told

    async def _fsck(self) -> AsyncGenerator[Told, None]:
        yield Progress("index and packs", 0)
        yield await trio.to_thread.run_sync(fsck.run, self._environment, self._root)

    @property
    def failure(self) -> str | None:
        """Why the store can not go on; None while all is well."""
        return self._failing.reason or self._writer.failure or self._appender.failure

    async def keep_house(self) -> None:
        """Expire abandoned uploads and dead readers, until cancelled."""
        while True:
            await trio.sleep(self._settings.housekeeping_seconds)
            if self.failure is not None:  # found out by a tidy-up, which nobody waits for
                self._failing.fail(self.failure)
            self._sessions.rest(REST)
            self._sessions.end_orphans(ORPHAN)
            with suppress(OSError):  # too many open files: the next round comes
                await self._sessions.expire(self._settings.upload_expiry_seconds)
                await trio.to_thread.run_sync(self._placer.punching.punch_owed)
                await trio.to_thread.run_sync(self._environment.check_readers)

    async def damaged(self) -> list[Damage]:
        """What is damaged now, and whom it hurts."""
        return (await self._upkeep.quarantine.standing())[1]

    async def watch(self) -> None:
        """Raise StoreFailed as soon as the store can not go on: the process must end."""
        await self._failing.watch()

    def close(self) -> None:
        """Close idle descriptors."""
        self._packs.close()

    def _clock(self) -> Clock:
        return Clock(int(self.now()), self._settings.grace_seconds)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a store is made of."""

    environment: Environment
    writer: Writer
    sessions: Sessions
    appender: Appender
    pins: Pins


@asynccontextmanager
async def open_store(
    root: Path, settings: StoreSettings | None = None
) -> AsyncIterator[LocalStore]:
    """Open (or create) the data directory `root`, recover it, and serve it for a block.

    Raises:
        DirectoryHeld: another server has it.
        FormatUnknown: a newer version wrote it.
        Damaged: a restore into it did not come to its end.
        StoreFailed: out of the block, when a sync or the index failed while it ran.
    """
    settings = settings or StoreSettings()
    if (root / layout.RESTORING).exists():
        raise Damaged(str(root), "a restore did not come to its end: run `orlop restore` again")
    for directory in reversed([path for path in (root, *root.parents) if not path.exists()]):
        directory.mkdir(mode=0o700 if directory == root else 0o777, exist_ok=True)
        sync_directory(directory.parent)  # the rest is synced by recovery
    for name in (layout.INDEX, layout.PACKS, layout.UPLOADS):
        (root / name).mkdir(mode=0o700, exist_ok=True)
    sync_directory(root)  # a pack must not outlive the index that knows of it
    with (
        hold_directory(root),
        open_environment(root / layout.INDEX) as environment,
        open_writer(environment) as writer,
    ):
        active = await recovery.recover(root, environment, writer)
        secret = environment.read(lambda v: v.get("meta", keys.META_SECRET)) or b""
        pins = Pins()
        appender = Appender(root, active, partial(_activate, writer), pins)
        store: LocalStore | None = None
        try:
            async with Sessions.open(root, secret, settings.min_free_bytes) as sessions:
                store = LocalStore(
                    root, settings, _Parts(environment, writer, sessions, appender, pins)
                )
                tasks = (appender.run, store.keep_house, store.packs.keep_fresh, store.watch)
                every, rate = settings.scrub_seconds, settings.scrub_bytes_per_second
                unasked = store.upkeep.unasked(settings.collection_seconds, every, rate)
                async with background(*tasks, *unasked):
                    yield store
        except BaseExceptionGroup as group:  # of the nursery: our failure cancelled all else
            if store is None or store.failure is None:
                raise
            raise StoreFailed(store.failure) from group  # that is why all else ended
        finally:
            if store is not None:
                store.close()


async def _activate(writer: Writer, pack: int) -> int:
    following = recovery.new_pack()
    await writer.write(partial(activate_pack, pack=pack, following=following))
    return following


def _lease_of(v: View, image: ImageName, digest: Digest) -> int:
    row = v.image(image)
    link = None if row is None else v.link(row.id, digest.key)
    return 0 if link is None else link.lease
