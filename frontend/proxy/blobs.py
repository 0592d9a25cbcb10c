"""Blobs of proxy repositories: passed on as they come, from any offset on."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Final

import trio

from cas.digest import Digest
from cas.errors import StorageFull, UploadOrphaned, UploadUnknown
from cas.verbs import Growing, Store, View
from frontend.domain.conditions import is_range_current
from frontend.domain.faults import ImageBlobUnknown, ImageUnknown
from frontend.domain.message import Request, Response, Slice
from frontend.domain.ranges import Span, parse_ranges
from frontend.domain.routes import Blob
from frontend.proxy.passing import pass_on
from frontend.proxy.replies import OCTETS, named
from frontend.proxy.sources import Sources
from frontend.proxy.transfers import Transfer, Transfers
from frontend.registry.cached import respond_kept
from frontend.registry.replies import INERT
from frontend.registry.site import Site
from frontend.upstream.answers import Wanted
from frontend.upstream.errors import UpstreamBroken, UpstreamMissing
from index.errors import NoSpace
from index.records import Repository

ATTEMPTS: Final = 5  # looks for what is kept, between which downloads end
TAKE_OVER_SECONDS: Final = 0.05


class Blobs:
    """Answers blobs that a snapshot cannot."""

    def __init__(self, store: Store, sources: Sources, transfers: Transfers) -> None:
        self._store = store
        self._sources = sources
        self._transfers = transfers

    async def answer(
        self, request: Request, route: Blob, record: Repository, site: Site
    ) -> Response:
        """Answer with a blob that the source has.

        Raises:
            ImageBlobUnknown: it has none.
            UpstreamFault: it cannot be asked.
        """
        try:
            if request.method == "HEAD":
                return await self._head(route, record)
            return await self._get(request, route, record, site)
        except UpstreamMissing:
            raise ImageBlobUnknown(route.name, route.digest) from None

    async def _head(self, route: Blob, record: Repository) -> Response:
        client = await self._sources.client(route.name.repository, record)
        wanted = Wanted(route.name.path, "blobs", str(route.digest))
        async with client.open("HEAD", wanted) as answer:
            length = answer.length
        if length is None:
            raise UpstreamBroken(
                str(client.upstream.origin), "it does not say how large the blob is"
            )
        size = ("Content-Length", str(length))
        return Response(200, (*named(route.digest), *INERT, OCTETS, size))

    async def _get(self, request: Request, route: Blob, record: Repository, site: Site) -> Response:
        for _ in range(ATTEMPTS):
            try:
                transfer = await self._transfers.begin(route.name, route.digest, record)
            except (StorageFull, NoSpace):
                client = await self._sources.client(route.name.repository, record)
                return await pass_on(client, route)
            growing = transfer.open()
            if growing is not None and not transfer.size:  # or it is said to be empty
                growing.close()  # how long the answer will be is known at the end alone
                await transfer.ended.wait()
                growing = None
            if growing is not None:
                return _following(request, route.digest, transfer, growing)
            await transfer.ended.wait()
            transfer.check()
            kept = self._store.read(partial(_kept, route, request, site))
            if kept is not None:
                return kept
        raise UpstreamBroken("", "the blob was fetched, and went, again and again")


def _kept(route: Blob, request: Request, site: Site, view: View) -> Response | None:
    try:
        return respond_kept(route, request, view, site)
    except (ImageUnknown, ImageBlobUnknown):
        return None


def _following(request: Request, digest: Digest, transfer: Transfer, growing: Growing) -> Response:
    """The whole, or one range; several ranges are answered with the whole, as they may be."""
    size = transfer.size or 0
    try:
        is_current = is_range_current(request.headers.get("if-range"), digest)
        spans = parse_ranges(request.headers.get("range"), size) if is_current else None
    except BaseException:
        growing.close()
        raise
    headers = (*named(digest), *INERT, OCTETS)
    if spans is None or len(spans) > 1:
        flow = Follow(transfer, growing, Span(0, size))
        return Response(200, (*headers, ("Content-Length", str(size))), flow=flow)
    span = spans[0]
    own = (
        ("Content-Range", span.content_range(size)),
        ("Content-Length", str(span.stop - span.start)),
    )
    return Response(206, (*headers, *own), flow=Follow(transfer, growing, span))


class Follow:
    """The bytes of a blob on its way (`message.Flow`).

    The last one of the blob is held back until all of them hash to its digest: nobody gets a whole
    answer that is wrong.
    """

    def __init__(self, transfer: Transfer, growing: Growing, span: Span) -> None:
        self._transfer = transfer
        self._growing = growing
        self._span = span
        self._size = transfer.size or 0

    async def iter_parts(self) -> AsyncGenerator[Slice, None]:
        """What is there, as it comes.

        Raises:
            UpstreamFault, CasError, IndexFault: the download failed: the connection has to end.
        """
        offset = self._span.start
        while offset < self._span.stop:
            ready = await self._wait(offset)
            yield Slice(self._growing, offset, ready)
            offset = ready

    def close(self) -> None:
        """Let go of the upload."""
        self._growing.close()

    async def _wait(self, offset: int) -> int:
        """Wait for bytes beyond `offset` that may be sent; returns where they end."""
        growing = self._growing
        while True:
            if growing.is_verified:
                if growing.size != self._size:
                    raise UpstreamBroken("", "the blob has another size than was said")
                return self._span.stop
            ready = min(growing.size, self._span.stop, self._size - 1)
            if ready > offset:
                return ready
            try:
                await growing.wait(max(growing.size, offset))
            except UploadOrphaned:
                if self._transfer.ended.is_set():  # or else it takes over, here or elsewhere
                    raise UpstreamBroken("", "the download was given up") from None
                await trio.sleep(TAKE_OVER_SECONDS)
            except UploadUnknown:
                await self._transfer.ended.wait()
                self._transfer.check()
                raise UpstreamBroken("", "the download failed elsewhere") from None
