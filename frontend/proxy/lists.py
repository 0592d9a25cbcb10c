"""Tags and referrers of proxy repositories: what the source lists, and what is here besides.

A list is asked for at most every `tag_ttl_seconds` and kept in memory; it is bounded, whatever the
source says. When the source cannot be asked, what is here is listed, with a Warning.
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import trio

from cas.digest import Digest
from cas.errors import DigestInvalid
from cas.verbs import Store, View
from frontend.domain.faults import ImageUnknown
from frontend.domain.manifests import OCI_INDEX
from frontend.domain.message import Request, Response
from frontend.domain.names import is_tag
from frontend.domain.routes import Referrers, Tags
from frontend.proxy.flights import Flights
from frontend.proxy.replies import with_warning
from frontend.proxy.sources import Sources
from frontend.registry.cached import source_of
from frontend.registry.discovery import Row, respond_referrers, respond_tags
from frontend.registry.site import Site
from frontend.upstream.answers import Wanted
from frontend.upstream.client import UpstreamClient
from frontend.upstream.errors import UpstreamBroken, UpstreamFault, UpstreamMissing
from index.keys import type_hash
from index.records import Repository

MAX_PAGES: Final = 100  # of a list, that are asked for
MAX_TAGS: Final = 100_000  # of one image
MAX_PAGE: Final = 8 << 20  # bytes
MAX_REFERRERS: Final = 10_000
MAX_KEPT: Final = 500_000  # entries of all lists in memory: some 50 MiB
FAILED_SECONDS: Final = 5.0
PAGE: Final = 1000  # tags that are asked for at once

Key = tuple[object, ...]
_Said = TypeVar("_Said")


class _TagPage(msgspec.Struct):
    tags: list[str] | None = None


class _Index(msgspec.Struct):
    manifests: list[dict[str, Any]] = []


class Lists:
    """Answers lists that a snapshot cannot."""

    def __init__(self, store: Store, sources: Sources) -> None:
        self._store = store
        self._sources = sources
        self._kept: OrderedDict[Key, tuple[float, Sequence[Any]]] = OrderedDict()
        self._size = 0
        self.flights = Flights()

    async def answer(
        self, request: Request, route: Tags | Referrers, record: Repository, site: Site
    ) -> Response:
        """Answer with a page of the list.

        Raises:
            ImageUnknown: neither the source nor this registry has the image.
            UpstreamFault: the source cannot be asked, and nothing is here.
        """
        key: Key = (record.id, record.revision, route)
        warning = ""
        try:
            listed = await self._listed(key, route, record)
        except UpstreamMissing:
            listed = ()
        except UpstreamFault as error:
            listed, warning = self._last(key), f"stale: {error}"
        try:
            response = self._store.read(partial(_answer, route, request, listed))
        except ImageUnknown:
            if warning:
                self.flights.check(key)
            raise
        return with_warning(response, warning) if warning else response

    async def _listed(self, key: Key, route: Tags | Referrers, record: Repository) -> Sequence[Any]:
        until, listed = self._kept.get(key, (0.0, ()))
        if trio.current_time() < until:
            return listed
        await self.flights.run(key, partial(self._refresh, key, route, record))
        return self._last(key)

    def _last(self, key: Key) -> Sequence[Any]:
        return self._kept.get(key, (0.0, ()))[1]

    async def _refresh(self, key: Key, route: Tags | Referrers, record: Repository) -> None:
        try:
            client = await self._sources.client(route.name.repository, record)
            if isinstance(route, Tags):
                listed: Sequence[Any] = await _fetch_tags(client, route.name.path)
            else:
                listed = await _fetch_referrers(client, route.name.path, route.digest)
        except UpstreamFault as error:
            self.flights.remember(key, error, FAILED_SECONDS)
            raise
        self._keep(key, trio.current_time() + source_of(record).tag_ttl_seconds, listed)

    def _keep(self, key: Key, until: float, listed: Sequence[Any]) -> None:
        self._size += len(listed) + 1 - (len(self._kept.pop(key, (0.0, ()))[1]))
        self._kept[key] = (until, listed)
        while self._size > MAX_KEPT and len(self._kept) > 1:
            _, (_, gone) = self._kept.popitem(last=False)
            self._size -= len(gone) + 1


async def _fetch_tags(client: UpstreamClient, path: str) -> list[str]:
    """All tags that the source lists, in byte order; those that are no tags are left out."""
    found: set[str] = set()
    page = f"n={PAGE}"
    for _ in range(MAX_PAGES):
        async with client.open("GET", Wanted(path, "tags", query=page)) as answer:
            content = await answer.read(MAX_PAGE)
            page = answer.next_query or ""
        said = _decode(client, content, _TagPage, "a list of tags")
        found.update(tag for tag in said.tags or () if is_tag(tag))
        if not page or len(found) >= MAX_TAGS:
            break
    return sorted(found)[:MAX_TAGS]


async def _fetch_referrers(client: UpstreamClient, path: str, subject: Digest) -> list[Row]:
    """Descriptors of what refers to a manifest; from the fallback's tag, where there is no API.

    Source: distribution-spec, "Listing Referrers" and "Referrers Tag Schema".
    """
    found: dict[bytes, bytes] = {}
    try:
        page = ""
        for _ in range(MAX_PAGES):
            wanted = Wanted(path, "referrers", str(subject), (OCI_INDEX,), query=page)
            async with client.open("GET", wanted) as answer:
                content = await answer.read(MAX_PAGE)
                page = answer.next_query or ""
            found |= _descriptors(client, content)
            if not page or len(found) >= MAX_REFERRERS:
                break
    except UpstreamMissing:
        tag = str(subject).replace(":", "-")[:128]
        try:
            wanted = Wanted(path, "manifests", tag, (OCI_INDEX,))
            async with client.open("GET", wanted) as answer:
                found = _descriptors(client, await answer.read(MAX_PAGE))
        except UpstreamMissing:
            return []
    return sorted(found.items())[:MAX_REFERRERS]


def _descriptors(client: UpstreamClient, content: bytes) -> dict[bytes, bytes]:
    """Descriptors of an index by their cursors; what is no descriptor is left out."""
    index = _decode(client, content, _Index, "an index")
    return dict(filter(None, map(_row, index.manifests)))


def _decode(client: UpstreamClient, content: bytes, kind: type[_Said], what: str) -> _Said:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UpstreamBroken(str(client.upstream.origin), f"{what} that is none: {error}") from None


def _row(value: dict[str, Any]) -> Row | None:
    kind = value.get("artifactType") or ""
    if not isinstance(value.get("mediaType"), str) or not isinstance(kind, str):
        return None
    try:
        digest = Digest.parse(str(value.get("digest")))
    except DigestInvalid:
        return None
    return type_hash(kind) + digest.key, msgspec.json.encode(value)


def _answer(
    route: Tags | Referrers, request: Request, listed: Sequence[Any], view: View
) -> Response:
    if isinstance(route, Tags):
        return respond_tags(route.name, request, view, listed)
    return respond_referrers(route.name, route.digest, request, view, listed)
