"""One upload session: how far it is hashed, who waits for it, and how it ended."""

from typing import TYPE_CHECKING

import trio

from cas import layout
from cas.errors import Busy, CasError, UploadUnknown
from cas.uploads.ingest import Ingest
from cas.verbs import Owner, Peer

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
        self.key: str | None = None
        self.is_sealed = False  # no append may begin
        self.is_whole = False  # and none is under way: `size` is final
        self.is_finished = False  # hashed and cut to the end
        self.is_queued = False
        self.is_committed = False
        self.fault: CasError | None = None  # why it ended or could not be hashed
        self.used_at = trio.current_time()
        self._sessions = sessions
        self._changed = trio.Event()

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

    async def cancel(self) -> None:
        """See `cas.verbs.Upload`."""
        await self._sessions.end(self)

    def tell(self) -> None:
        """Wake everybody who waits for this session to change."""
        self._changed.set()
        self._changed = trio.Event()

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

    async def wait_grown(self, offset: int) -> int:
        """See `cas.verbs.Store`."""
        while self.size <= offset and not self.is_committed:
            self.check()
            await self.wait_told()
        return self.size

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
