"""Upload sessions: who may go on with which, how far each is hashed, who waits for it.

Bytes are appended by the caller and hashed by HASHERS tasks that follow the files; `append` waits
while more than LAG bytes of its upload are not hashed yet, so memory and the page cache stay small.
"""

import math
import os
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Self

import trio

from cas import layout
from cas.errors import CasError, UploadSealed, UploadUnknown, from_system
from cas.tasks import background
from cas.uploads import staging
from cas.uploads.following import Following, Growth
from cas.uploads.ingest import SEGMENT, Desk
from cas.uploads.session import Session
from cas.uploads.underway import UnderWay, resting_in, under_way
from cas.verbs import Owner, Peer, Upload

HASHERS: Final = 4  # uploads hashed at once; each holds 16 MiB and two threads
LAG: Final = 32 << 20  # bytes appended but not hashed yet before an append waits
BATCH: Final = SEGMENT  # bytes worth two hops to threads; an opaque chunk, so none is read twice
REST: Final = 900.0  # seconds without a request after which a session is only a file
ORPHAN: Final = 300.0  # seconds for which a key's bytes wait for somebody to go on with them
COMMITTED: Final = 4096  # sizes kept for followers that come back for the end; 150 bytes each
TURN: Final = 32 << 20  # bytes of one upload before the next one gets its turn


class Sessions:
    """All sessions of one data directory. Made by `open_sessions`."""

    def __init__(self, root: Path, secret: bytes, min_free: int) -> None:
        self.root = root
        self._secret = secret
        self._min_free = min_free
        self._open: dict[str, Session] = {}
        self._keys: dict[str, Session] = {}
        self.following = Following(
            root, lambda upload, *more: self.follow(upload).wait_grown(*more)
        )
        self._committed: OrderedDict[str, int] = OrderedDict()  # session id → size
        # Each session is in the queue at most once, so the sessions bound it.
        self._queue, self._turns = trio.open_memory_channel[Session](math.inf)
        self._writers = trio.CapacityLimiter(8)  # appends that block on the disk at once
        self._hashing = trio.CapacityLimiter(2 * HASHERS)  # no fewer: the two wait for each other
        # The last one used is used next: one upload after the other touches the memory of one.
        self._desks = [Desk(self._hashing) for _ in range(HASHERS)]

    async def stage(
        self, owner: Owner, session: str | None, key: str | None
    ) -> tuple[Session, bool]:
        """See `cas.verbs.Store.stage`."""
        if key is not None:
            owner = Owner.of_key(key, owner.algorithm)
            if key not in self._keys and session is not None:
                self.find(owner, session)
            if key in self._keys:
                with suppress(UploadUnknown):  # its file is gone: it begins anew
                    return self._claim(self._keys[key])
        elif session is not None:
            return self.find(owner, session), False
        staging.check_space(self.root, self._min_free)
        name = layout.session_id(self._secret, owner, os.urandom(16))
        found = Session(self, owner, name, 0)
        staging.create(found.path)
        self._open[name] = found
        if key is not None:
            self._keys[key] = found
        return found, True

    def _claim(self, session: Session) -> tuple[Session, bool]:
        """Let the caller go on with what lost its owner; says whether it does."""
        if not session.is_orphan:
            session.used_at = trio.current_time()
            return session, False
        # Who appended may have died before it said so: whoever goes on begins behind that.
        session.notice(self._size_of(session.id))
        session.used_at = trio.current_time()
        session.is_orphan = False
        session.tell()
        return session, True

    def find(self, owner: Owner, session: str) -> Session:
        """The session of this owner, from memory or, after a restart, from its file.

        Raises:
            UploadUnknown: it is another's, or ended.
        """
        layout.check_session(self._secret, owner, session)
        size = self._size_of(session)
        found = self._open.get(session)
        if found is None:
            found = self._open[session] = Session(self, owner, session, size)
            if owner.key is not None and owner.key not in self._keys:
                self._keys[owner.key] = found
                found.is_orphan = True  # whoever appends has not been heard of since our start
        found.notice(size)
        found.used_at = trio.current_time()
        found.check()
        return found

    def _size_of(self, session: str) -> int:
        """How much its file holds. One that lost its file is forgotten, and its key is free.

        Raises:
            UploadUnknown: there is no file; a commit under way takes the name away too.
        """
        try:
            return staging.size_of(layout.upload_path(self.root, session))
        except UploadUnknown:
            found = self._open.get(session)
            if found is not None and not found.is_sealed:
                self.forget(found)
            raise

    async def append(
        self, session: Session, offset: int, *data: bytes | bytearray | memoryview
    ) -> int:
        """See `cas.verbs.Upload.append`."""
        return await self._grow(session, staging.append, offset, *data)

    async def receive(self, session: Session, offset: int, peer: Peer, most: int) -> int:
        """See `cas.verbs.Upload.receive`."""
        return await self._grow(session, staging.receive, offset, peer.fileno(), most)

    async def _grow(self, session: Session, step: Callable[..., int], *args: object) -> int:
        session.check()
        if session.is_sealed:
            raise UploadSealed(session.id)
        staging.check_space(self.root, self._min_free)
        try:
            size = await trio.to_thread.run_sync(step, session.path, *args, limiter=self._writers)
        except CasError:
            with suppress(UploadUnknown):
                session.size = self._size_of(session.id)  # what fitted before the error is kept
            raise
        await self.note_grown(session, size)
        return size  # and not the session's: another client may have appended to it meanwhile

    async def note_grown(self, session: Session, size: int) -> int:
        """Somebody, here or in another process, appended to the file: it has `size` bytes now.

        Waits while more than LAG of them are not hashed, and returns the size. Cancelled or failing
        while it waits, it keeps what was appended: the next append begins there.

        Raises:
            UploadUnknown: the session ended; or what keeps it from being hashed.
        """
        session.used_at = trio.current_time()
        session.size = max(session.size, size)  # two appends may be told of in the other order
        if session.unhashed >= BATCH:
            self._queue_turn(session)
        session.tell()
        while session.unhashed > LAG:
            self._queue_turn(session)
            await session.wait_changed()
        return session.size

    async def end(self, session: Session) -> None:
        """End a session and free its bytes.

        Raises:
            UploadSealed: it is being committed.
            UploadUnknown: it ended already.
        """
        if session.is_ended:
            raise UploadUnknown(session.id)
        if session.is_sealed:
            raise UploadSealed(session.id)
        self.discard(session)

    def discard(self, session: Session) -> None:
        """Drop a session and its bytes."""
        self.forget(session)
        try:
            staging.remove(session.path)
        except OSError as error:
            raise from_system(error, f"upload {session.id}") from error

    def forget(self, session: Session, *, is_committed: bool = False) -> None:
        """Drop a session that was committed or is being cancelled; those who wait are told."""
        session.is_committed = is_committed
        if is_committed:
            self._committed[session.id] = session.size
            if len(self._committed) > COMMITTED:
                self._committed.popitem(last=False)
        self._open.pop(session.id, None)
        if session.key is not None and self._keys.get(session.key) is session:
            del self._keys[session.key]
        session.fault = UploadUnknown(session.id)
        session.tell()

    def follow(self, upload: Upload) -> Session:
        """The session behind what `stage` gave."""
        if not isinstance(upload, Session):
            raise UploadUnknown(upload.id)
        return upload

    async def wait_grown(
        self, owner: Owner, session: str, offset: int, linger: float = 0.0
    ) -> Growth:
        """`cas.verbs.Store.wait_grown` for who has only what `stage` was asked and answered.

        Raises:
            UploadUnknown: as `find`; or it was committed, and over COMMITTED more were since; or
                its key leads to another.
            UploadOrphaned: as there; and after a restart until its owner appends.
        """
        layout.check_session(self._secret, owner, session)
        if session in self._committed:
            return Growth(self._committed[session], is_committed=True, is_verified=True)
        found = self._open.get(session) or self.find(owner, session)
        with suppress(UploadUnknown):  # a commit takes its name away before it is over
            found.notice(staging.size_of(found.path))
        self._check_key(found)
        return await found.wait_grown(offset, linger)

    def _check_key(self, session: Session) -> None:
        if session.key is not None and self._keys.get(session.key) is not session:
            raise UploadUnknown(session.id)

    def own(self, session: Session) -> None:
        """Its owner appended to a session with a key: after a restart that is how we learn of it.

        Raises:
            UploadUnknown: its key leads to another session by now.
        """
        self._check_key(session)
        session.is_orphan = False

    async def leave(self, session: Session) -> None:
        """See `cas.verbs.Upload.leave`; a commit under way goes on, and may fail yet."""
        if session.is_ended:
            raise UploadUnknown(session.id)
        if session.key is None:
            return
        while session.is_sealed and not session.is_ended:
            await session.wait_told()
        if not session.is_ended:
            session.is_orphan = True
            session.used_at = trio.current_time()
            session.tell()

    def end_orphans(self, age: float) -> int:
        """End what nobody took over for `age` seconds; returns how many."""
        before = trio.current_time() - age
        stale = [each for each in self._keys.values() if each.is_orphan and each.used_at < before]
        for session in stale:
            with suppress(CasError):  # a file that cannot be removed now expires later
                self.discard(session)
        return len(stale)

    async def seal(self, session: Session) -> None:
        """Refuse further appends, here and in the file.

        Raises:
            UploadSealed: another request is committing it.
        """
        session.check()
        if session.is_sealed:
            raise UploadSealed(session.id)
        session.is_sealed = True
        try:
            session.size = await trio.to_thread.run_sync(staging.seal, session.path)
        except BaseException:  # cancelled too: then it was not sealed
            session.is_sealed = False
            session.tell()
            raise
        session.is_whole = True

    def unseal(self, session: Session) -> None:
        """Let a session go on after a commit that failed; its bytes are hashed anew.

        One whose adoption could not be undone stays sealed until the next start.
        """
        session.restart_hashing()
        session.is_sealed = session.is_whole = session.is_verified = False
        session.is_sealed = not staging.unseal(session.path)
        session.tell()

    async def finish(self, session: Session) -> None:
        """Wait until a sealed session is hashed and cut to its end."""
        while not session.is_finished:
            self._queue_turn(session)
            await session.wait_changed()

    async def under_way(self) -> list[UnderWay]:
        """All of them, the one that grew last first; at most 1,000."""
        folder, known = self.root / layout.UPLOADS, frozenset(self._open)
        resting = await trio.to_thread.run_sync(resting_in, folder, known)
        return under_way(self._open.values(), resting)

    async def expire(self, age: float) -> int:
        """End sessions without an append for `age` seconds; returns how many."""
        uploads = self.root / layout.UPLOADS
        before = time.time() - age
        stale = await trio.to_thread.run_sync(lambda: list(staging.iter_stale(uploads, before)))
        expired = 0
        for name in stale:
            with suppress(OSError, CasError):  # one that cannot be removed is tried again
                if await trio.to_thread.run_sync(staging.remove_stale, uploads / name, before):
                    expired += 1
                    if name in self._open:
                        self.forget(self._open[name])
        return expired

    def rest(self, idle: float) -> int:
        """Forget in memory what nobody used for `idle` seconds; the files stay, to be found again.

        What was hashed of them is hashed anew then: a state cannot be saved. Returns how many.
        """
        before = trio.current_time() - idle
        resting = [
            session
            for session in self._open.values()
            if session.used_at < before
            and session.key is None  # its followers wait for this very session
            and not (session.is_sealed or session.is_queued)
        ]
        for session in resting:
            del self._open[session.id]
        return len(resting)

    # --- hashing ---

    def _queue_turn(self, session: Session) -> None:
        if not session.is_queued and session.fault is None:
            session.is_queued = True
            self._queue.send_nowait(session)

    async def hash_turns(self) -> None:
        """One hashing task: sessions take turns."""
        async for session in self._turns:
            desk = self._desks.pop()
            try:
                await self._take_turn(session, desk)
            except FileNotFoundError:
                session.fault = UploadUnknown(session.id)
            except OSError as error:  # told to whoever waits for it
                session.fault = session.fault or from_system(error, f"upload {session.id}")
            finally:
                self._desks.append(desk)
            session.is_queued = False
            session.tell()
            if session.unhashed >= BATCH:
                self._queue_turn(session)

    async def _take_turn(self, session: Session, desk: Desk) -> None:
        descriptor = os.open(session.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            stop = min(session.size, session.ingest.hashed + TURN)
            if session.is_whole and stop == session.size:
                await session.ingest.finish(descriptor, stop, desk)
                session.is_finished = True
            else:
                await session.ingest.advance(descriptor, stop, desk)
        finally:
            os.close(descriptor)

    @classmethod
    @asynccontextmanager
    async def open(cls, root: Path, secret: bytes, min_free: int) -> AsyncIterator[Self]:
        """Sessions with their hashing tasks, for the length of a block."""
        sessions = cls(root, secret, min_free)
        async with background(*[sessions.hash_turns] * HASHERS, sessions.following.run):
            yield sessions
