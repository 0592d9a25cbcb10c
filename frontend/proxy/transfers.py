"""Downloads of blobs: one for each digest over all processes, followed by whoever wants it.

The process that began one fetches it, into an upload under the digest's key; every client, and
every other process, follows the upload. A repository joins another's download, or what is stored
already, only after its own source said that it has the digest. Bytes are committed only when they
hash to it. If the process that fetches dies, a follower goes on.
"""

import copy
import math
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from cas.digest import Digest
from cas.errors import (
    CasError,
    DaemonAway,
    DigestMismatch,
    OffsetMismatch,
    UploadOrphaned,
    UploadSealed,
    UploadUnknown,
)
from cas.verbs import Adopt, Growing, Owner, Store, Upload, View
from frontend.proxy.eviction import Eviction
from frontend.proxy.flights import tell
from frontend.proxy.pouring import pour
from frontend.proxy.sources import Sources
from frontend.upstream.answers import Wanted
from frontend.upstream.client import UpstreamClient
from frontend.upstream.errors import UpstreamBroken, UpstreamFault
from frontend.upstream.transfers import fetching
from index.changes import ImageName, Link
from index.damage import is_hurt
from index.errors import ExpectationsFailed
from index.expectations import RepositoryRevision
from index.records import Repository

AWAY_SECONDS: Final = 15.0  # for which a download waits for the daemon
AWAY_PAUSE: Final = 0.2
END_SECONDS: Final = 5.0  # to end an upload although the task was cancelled
STILL_SECONDS: Final = 10.0  # for which an upload may not grow that somebody else is to go on with
_KEY: Final = "blob "  # before its digest, the key of a download


@dataclass(eq=False, slots=True)
class Transfer:
    """One blob on its way into one image, as this process sees it."""

    image: ImageName
    digest: Digest
    record: Repository
    client: UpstreamClient
    size: int | None = None  # bytes in all, once known
    upload: Upload | None = None  # to be followed, once it began
    session: str | None = None  # of an upload that nobody appends to any more
    is_confirmed: bool = False  # its source said that it has it, without being asked for all
    error: Exception | None = None
    began: trio.Event = field(default_factory=trio.Event)  # size and upload are known, or it ended
    ended: trio.Event = field(default_factory=trio.Event)

    def check(self) -> None:
        """Raise why it ended, if it failed."""
        if self.error is not None:
            raise copy.copy(self.error)

    def open(self) -> Growing | None:
        """Its bytes, to be followed; None: it ended, so look again for what is kept."""
        if self.upload is None:
            return None
        try:
            return self.upload.open()
        except UploadUnknown:
            return None


class Transfers:
    """Those of this process."""

    def __init__(
        self, store: Store, sources: Sources, eviction: Eviction, lease_seconds: int
    ) -> None:
        self._store = store
        self._sources = sources
        self._eviction = eviction
        self._lease = lease_seconds
        self._nursery: trio.Nursery | None = None
        self._running: dict[tuple[int, str, Digest], Transfer] = {}

    def use(self, nursery: trio.Nursery) -> None:
        """Begin: `nursery` outlives every request."""
        self._nursery = nursery

    async def begin(self, image: ImageName, digest: Digest, record: Repository) -> Transfer:
        """Have a blob fetched into an image; returns when it is known how large it is.

        Raises:
            UpstreamFault, CasError, IndexFault: it cannot be had.
        """
        key = (record.id, image.path, digest)
        transfer = self._running.get(key)
        if transfer is None:
            if self._nursery is None:
                raise LookupError("no nursery")
            client = await self._sources.client(image.repository, record)
            transfer = self._running.get(key)
            if transfer is None:
                transfer = self._running[key] = Transfer(image, digest, record, client)
                self._nursery.start_soon(self._run, key, transfer)
        await transfer.began.wait()
        transfer.check()
        return transfer

    async def _run(self, key: tuple[int, str, Digest], transfer: Transfer) -> None:
        try:
            await self._have(transfer)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must be told
            tell(f"blob {transfer.digest} of {transfer.image}", error)
            transfer.error = error
        finally:
            del self._running[key]
            transfer.began.set()
            transfer.ended.set()

    async def _have(self, transfer: Transfer) -> None:
        """Have the blob here, and linked. A daemon that is away is waited for: what came stays.

        Raises:
            UpstreamFault, CasError, IndexFault
        """
        until = math.inf
        while True:
            try:
                await self._advance(transfer)
            except DaemonAway:
                until = min(until, trio.current_time() + AWAY_SECONDS)
                if trio.current_time() > until:
                    raise
                await trio.sleep(AWAY_PAUSE)
            else:
                return

    async def _advance(self, transfer: Transfer) -> None:
        """Fetch it, or follow who does, until it is here."""
        name = f"{_KEY}{transfer.digest}"
        owner = Owner.of_key(name, transfer.digest.algorithm)
        while not self._store.read(partial(_is_stored, digest=transfer.digest)):
            session = transfer.session
            try:
                upload, is_ours = await self._store.stage(owner, session=session, key=name)
            except UploadUnknown:
                transfer.session = None  # nobody went on with it in time
                await trio.sleep(AWAY_PAUSE)
                continue
            transfer.session = None
            if is_ours:
                if await self._fetch(transfer, upload):
                    return
                continue
            if not transfer.is_confirmed:
                await self._confirm(transfer)
            transfer.session = await self._follow(transfer, upload)
        if not transfer.is_confirmed:
            await self._confirm(transfer)
        await self._link(transfer, [])

    async def _confirm(self, transfer: Transfer) -> None:
        """Have the source say that it has the blob: only then it may be given away here."""
        wanted = Wanted(transfer.image.path, "blobs", str(transfer.digest))
        async with transfer.client.open("HEAD", wanted) as answer:
            transfer.size = answer.length
        transfer.is_confirmed = True

    async def _follow(self, transfer: Transfer, upload: Upload) -> str | None:
        """Wait for another's download; returns the session to go on with, if its owner is gone."""
        try:
            growing = upload.open()
        except UploadUnknown:
            await trio.sleep(AWAY_PAUSE)
            return None  # it ended just now, or is being committed
        with growing:
            transfer.upload = upload
            transfer.began.set()
            try:
                await growing.wait_committed()
            except UploadOrphaned:
                return upload.id
            except DaemonAway:  # the next one has forgotten the key, and finds it by the session
                transfer.session = upload.id
                raise
            except UploadUnknown:
                if not self._store.read(partial(_is_stored, digest=transfer.digest)):
                    name = str(transfer.client.upstream.origin)
                    raise UpstreamBroken(name, "the download that was followed failed") from None
        return None

    async def _fetch(self, transfer: Transfer, upload: Upload) -> bool:
        """Fetch all of it, and keep it; False: somebody else fetches it now.

        Raises:
            UpstreamFault, CasError, IndexFault: it is not kept; those who follow are told so.
            DaemonAway: what came is there, and is gone on with by its session.
        """
        is_ours = True
        try:
            await self._fill(transfer, upload)
            adopt = Adopt(upload.id, transfer.digest, upload.owner)
            await self._link(transfer, [adopt])
        except (OffsetMismatch, UploadSealed):  # another goes on with it: we were taken for dead
            is_ours = False
            await _make_way(upload)
        except UploadUnknown:
            is_ours = False
        except DaemonAway:
            transfer.session = upload.id
            raise
        except DigestMismatch:
            await _end(upload)
            name = str(transfer.client.upstream.origin)
            raise UpstreamBroken(name, f"other bytes than {transfer.digest}") from None
        except BaseException:  # cut short, or the server ends
            await _end(upload)
            raise
        return is_ours

    async def _fill(self, transfer: Transfer, upload: Upload) -> None:
        if upload.size and transfer.size is None:
            with suppress(UpstreamFault):  # then what is missing is asked for all the same
                await self._confirm(transfer)
        if transfer.size is not None and upload.size >= transfer.size:  # it was not committed
            transfer.upload = upload
            transfer.began.set()
            return
        wanted = Wanted(transfer.image.path, "blobs", str(transfer.digest), start=upload.size)
        async with fetching(transfer.client, wanted, transfer.size) as coming:
            transfer.size = coming.size
            transfer.upload = upload
            transfer.began.set()
            await pour(coming, upload)

    async def _link(self, transfer: Transfer, changes: list[Adopt]) -> None:
        image = transfer.image
        link = Link(image, transfer.digest.key, self._lease)
        current = RepositoryRevision(image.repository, transfer.record.revision)
        try:
            await self._store.commit([*changes, link], [current])
        except ExpectationsFailed:
            name = str(transfer.client.upstream.origin)
            raise UpstreamBroken(name, "the repository was changed meanwhile") from None
        self._eviction.note(image, transfer.digest, transfer.record)


def digest_of_key(key: str) -> str:
    """What the download under a key is to be; empty: it is none's."""
    return key.removeprefix(_KEY) if key.startswith(_KEY) else ""


async def _make_way(upload: Upload) -> None:
    """Wait until another one has appended, or give up the upload for whoever looks next.

    He may have died since. To give it up at once would have two push each other out all the way.
    """
    with trio.move_on_after(2 * STILL_SECONDS), suppress(CasError):
        with upload.open() as growing, trio.move_on_after(STILL_SECONDS):
            await growing.wait(growing.size)
            return
        await upload.leave()


async def _end(upload: Upload) -> None:
    """End it, also when this task is cancelled: what is there is not to be gone on with."""
    with trio.move_on_after(END_SECONDS, shield=True), suppress(CasError):
        await upload.cancel()  # or it ended by itself, or the daemon is away, which ends it in time


def _is_stored(view: View, digest: Digest) -> bool:
    """Whether its bytes are here, and are sound as far as is known."""
    found = view.object(digest.key)
    return found is not None and not is_hurt(view, found)
