"""One upload session: how far it is hashed, who waits for it, and how it ended."""

from typing import TYPE_CHECKING

import trio

from cas import layout
from cas.errors import Busy, CasError, UploadOrphaned, UploadUnknown
from cas.uploads.following import Growth
from cas.uploads.ingest import Ingest
from cas.verbs import Growing, Owner, Peer

if TYPE_CHECKING:
    from cas.uploads.sessions import Sessions


class Session:
    """One staged upload (`cas.verbs.Upload`)."""

    def __init__(self, sessions: "Sessions", owner: Owner, session: str, size: int) -> None:
        self.id = session
        self.owner = owner
        self.size = size
        self.path = layout.upload_path(sessions.root, session)
        self.ingest = Ingest(layout.session_algorithm(session))
        self.is_sealed = False  # no append may begin
        self.is_whole = False  # and none is under way: `size` is final
        self.is_finished = False  # hashed and cut to the end
        self.is_queued = False
        self.is_committed = False
        self.is_verified = False  # all of it hashes to the digest that it is committed under
        self.is_orphan = False  # it has a key, and nobody who appends
        self.fault: CasError | None = None  # why it ended or could not be hashed
        self.used_at = trio.current_time()
        self._sessions = sessions
        self._changed = trio.Event()

    @property
    def key(self) -> str | None:
        """The single-flight key that it belongs to, if it has one."""
        return self.owner.key

    @property
    def unhashed(self) -> int:
        """Bytes that arrived and are not hashed yet."""
        return self.size - self.ingest.hashed

    async def append(self, offset: int, *data: bytes | bytearray | memoryview) -> int:
        """See `cas.verbs.Upload`."""
        return await self._sessions.append(self, offset, *data)

    async def receive(self, offset: int, peer: Peer, most: int) -> int:
        """See `cas.verbs.Upload`."""
        return await self._sessions.receive(self, offset, peer, most)

    def open(self) -> Growing:
        """See `cas.verbs.Upload`."""
        return self._sessions.following.open(self)

    async def leave(self) -> None:
        """See `cas.verbs.Upload`."""
        await self._sessions.leave(self)

    async def cancel(self) -> None:
        """See `cas.verbs.Upload`."""
        await self._sessions.end(self)

    def tell(self) -> None:
        """Wake everybody who waits for this session to change."""
        self._changed.set()
        self._changed = trio.Event()

    def vouch(self) -> None:
        """All bytes are here and are the right ones, though they may not be durable yet."""
        self.is_verified = True
        self.tell()

    def notice(self, size: int) -> None:
        """Take in the file's size: who appended may have died before it said so."""
        if size > self.size:
            self.size = size
            self.tell()

    async def wait_changed(self) -> None:
        """Wait for the next change.

        Raises:
            UploadUnknown: the session ended; or what went wrong with it.
        """
        if self.fault is None:
            await self.wait_told()
        self.check()

    async def wait_told(self) -> None:
        """Wait for the next change, whatever it is."""
        await self._changed.wait()

    async def wait_grown(self, offset: int, linger: float = 0.0) -> Growth:
        """See `cas.verbs.Store`. Waits for `linger` seconds at least, unless it ends before.

        What keeps it from being hashed is told to its owner, not to followers.
        """
        with trio.move_on_after(linger):
            while not (self._is_settled or self.is_verified):
                await self.wait_told()
        while self.size <= offset and not self._is_settled:
            if self.is_verified and self.size == offset:
                break
            await self.wait_told()
        if self.is_ended and not self.is_committed:
            raise UploadUnknown(self.id)
        if self.is_orphan and self.size <= offset:
            raise UploadOrphaned(self.id)
        return Growth(self.size, self.is_committed, self.is_verified)

    @property
    def _is_settled(self) -> bool:
        """Whether nothing more is to come for now."""
        return self.is_ended or self.is_orphan

    @property
    def is_ended(self) -> bool:
        """Committed, cancelled or expired."""
        return isinstance(self.fault, UploadUnknown)

    def check(self) -> None:
        """Raise what ended the session or keeps it from being hashed, if anything does."""
        if self.is_ended:
            raise UploadUnknown(self.id)
        fault = self.fault
        if isinstance(fault, Busy):
            self.fault = None  # told once: whoever comes next may find that it has passed
        if fault is not None:
            raise fault

    def restart_hashing(self) -> None:
        """Forget what was hashed: the last chunk was cut, and now more bytes may follow."""
        self.ingest = Ingest(layout.session_algorithm(self.id))
        self.is_finished = False
        if not self.is_ended:
            self.fault = None  # a file that could not be read is read again
