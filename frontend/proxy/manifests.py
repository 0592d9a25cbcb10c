"""Manifests of proxy repositories: fetched, checked, kept byte for byte; tags while they are fresh.

A tag moves only when its new manifest is durable. When the source cannot be asked, what is here is
served with a Warning. One process at a time asks for the same thing: see `claims`.
"""

from functools import partial
from typing import Final

import trio

from cas.digest import Digest
from cas.verbs import Store, View
from frontend.domain.faults import (
    ImageUnknown,
    ManifestInvalid,
    ManifestUnknown,
)
from frontend.domain.manifests import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    ParsedManifest,
    parse_manifest,
)
from frontend.domain.message import Request, Response
from frontend.domain.routes import Manifest
from frontend.errors import KNOWN_ERRORS
from frontend.proxy.claims import claim
from frontend.proxy.eviction import Eviction
from frontend.proxy.flights import Flights
from frontend.proxy.replies import with_warning
from frontend.proxy.sources import Sources
from frontend.registry.cached import respond_kept, source_of
from frontend.registry.site import Site
from frontend.upstream.answers import Wanted
from frontend.upstream.client import UpstreamClient
from frontend.upstream.errors import (
    UpstreamBroken,
    UpstreamFault,
    UpstreamMissing,
    UpstreamUnavailable,
)
from index.changes import (
    Change,
    CheckTag,
    ImageName,
    Link,
    PutManifest,
    PutObject,
    SetTag,
)
from index.damage import is_hurt
from index.errors import ExpectationsFailed
from index.expectations import RepositoryRevision, TagIs
from index.records import Repository

# Not schema 1, which some would make of what they have for whoever lists nothing else.
ACCEPT: Final = (
    OCI_INDEX,
    OCI_MANIFEST,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    "application/vnd.oci.artifact.manifest.v1+json",
)
MISSING_SECONDS: Final = 30.0  # for which what the source has not is not asked for again
FAILED_SECONDS: Final = 5.0  # and so after a failure: a pull asks several times a second
PATIENCE_SECONDS: Final = 3.0  # for news of a tag that is here
_OURS: Final = "this registry cannot keep what is new"
_parsing = trio.CapacityLimiter(1)


class Manifests:
    """Answers manifests that a snapshot cannot."""

    def __init__(self, store: Store, sources: Sources, eviction: Eviction, limit: int) -> None:
        self._store = store
        self._sources = sources
        self._eviction = eviction
        self._limit = limit  # bytes of a manifest
        self.flights = Flights()

    async def answer(
        self, request: Request, route: Manifest, record: Repository, site: Site
    ) -> Response:
        """Answer with what the source has, or if it cannot be asked with what is here.

        Raises:
            ManifestUnknown: the source has no such thing.
            UpstreamFault, CasError, IndexFault: it cannot be asked, or what it says not be kept,
                and nothing is here.
        """
        key = (record.id, record.revision, route.name.path, str(route.reference))
        work = partial(self._refresh, key, route, record, site)
        try:
            if self._store.read(partial(_tag_digest, route=route)) is None:
                await self.flights.run(key, work)
            else:  # what is here is better than to wait: the work goes on without us
                with trio.move_on_after(PATIENCE_SECONDS) as patience:
                    await self.flights.run(key, work)
                if patience.cancelled_caught:
                    return self._stale(request, route, site, UpstreamUnavailable(""))
        except UpstreamMissing:
            raise ManifestUnknown(route.name, str(route.reference)) from None
        except KNOWN_ERRORS as error:
            return self._stale(request, route, site, error)
        return self._store.read(partial(_kept, route, request, site))

    def _stale(self, request: Request, route: Manifest, site: Site, error: Exception) -> Response:
        """What is here, because of an error that is told to whoever can have nothing."""
        try:
            response = self._store.read(partial(_kept, route, request, site))
        except (ImageUnknown, ManifestUnknown):
            raise error from None
        is_theirs = isinstance(error, UpstreamFault)
        return with_warning(response, f"stale: {error if is_theirs else _OURS}")

    async def _refresh(
        self, key: tuple[object, ...], route: Manifest, record: Repository, site: Site
    ) -> None:
        """Have the manifest here, and its tag fresh.

        Raises:
            UpstreamFault, CasError, IndexFault
        """
        seconds = min(MISSING_SECONDS, source_of(record).tag_ttl_seconds)
        try:
            await self._settle(route, record, site)
        except UpstreamMissing as error:
            self.flights.remember(key, error, seconds)
            raise
        except UpstreamFault as error:
            self.flights.remember(key, error, FAILED_SECONDS)
            raise

    async def _settle(self, route: Manifest, record: Repository, site: Site) -> None:
        name = f"manifest {record.id} {route.name.path} {route.reference}"
        async with claim(self._store, name) as is_ours:
            if not is_ours and self._store.read(partial(_is_settled, route, record, site)):
                return
            await self._ask(route, record, site)

    async def _ask(self, route: Manifest, record: Repository, site: Site) -> None:
        client = await self._sources.client(route.name.repository, record)
        current = self._store.read(partial(_tag_digest, route=route))
        try:
            if current is not None and await _is_still(client, route, current):
                tag = CheckTag(route.name, str(route.reference), current)
                await self._commit(route.name, record, [tag])
                return
            await self._fetch(client, route, record, site)
        except UpstreamMissing:
            if current is not None:
                await self._drop(route, record, current)
            raise

    async def _drop(self, route: Manifest, record: Repository, current: bytes) -> None:
        """The source has taken the tag away: so do we, though what it pointed at stays a while."""
        tag = str(route.reference)
        expected = (
            TagIs(route.name, tag, current),
            RepositoryRevision(route.name.repository, record.revision),
        )
        try:
            await self._store.commit([SetTag(route.name, tag, None)], expected)
        except ExpectationsFailed:
            return  # it moved, or somebody else did this

    async def _fetch(
        self, client: UpstreamClient, route: Manifest, record: Repository, site: Site
    ) -> None:
        async with client.open("GET", _wanted(route)) as answer:
            content = await answer.read(self._limit)
            media_type, said = answer.media_type, answer.digest
        digest = _checked(client, route, content, said)
        parsed = await _parsed(client, content, media_type)
        row = parsed.record(site.now())
        edges = tuple((child.key, kind) for child, kind in parsed.edges)
        referrer = b"" if parsed.subject is None else parsed.referrer(digest)
        changes: list[Change] = [
            PutObject(digest.key, content),
            Link(route.name, digest.key),
            PutManifest(route.name, digest.key, row, edges, referrer),
        ]
        if isinstance(route.reference, str):
            changes.append(SetTag(route.name, route.reference, digest.key, is_checked=True))
        await self._commit(route.name, record, changes)
        self._eviction.note(route.name, digest, record)

    async def _commit(self, image: ImageName, record: Repository, changes: list[Change]) -> None:
        """Keep it, if the repository is as it was: another source may have something else."""
        current = RepositoryRevision(image.repository, record.revision)
        try:
            await self._store.commit(changes, [current])
        except ExpectationsFailed:
            raise UpstreamBroken("", "the repository's settings were changed meanwhile") from None


def _wanted(route: Manifest) -> Wanted:
    return Wanted(route.name.path, "manifests", str(route.reference), ACCEPT)


async def _is_still(client: UpstreamClient, route: Manifest, current: bytes) -> bool:
    """Whether the source says that the tag points at what is here; a HEAD costs little there."""
    async with client.open("HEAD", _wanted(route)) as said:
        return said.digest is not None and said.digest.key == current


def _checked(
    client: UpstreamClient, route: Manifest, content: bytes, said: Digest | None
) -> Digest:
    """The digest under which it is kept: as asked for, or as the source says, or sha256."""
    wanted = route.reference if isinstance(route.reference, Digest) else said
    actual = Digest.of(content, "sha256" if wanted is None else wanted.algorithm)
    if wanted is not None and actual != wanted:
        raise UpstreamBroken(
            str(client.upstream.origin), f"a manifest {actual} where {wanted} was to be"
        )
    return actual


async def _parsed(client: UpstreamClient, content: bytes, media_type: str) -> ParsedManifest:
    try:
        return await trio.to_thread.run_sync(parse_manifest, content, media_type, limiter=_parsing)
    except ManifestInvalid as error:
        raise UpstreamBroken(str(client.upstream.origin), str(error)) from None


def _kept(route: Manifest, request: Request, site: Site, view: View) -> Response:
    return respond_kept(route, request, view, site)


def _tag_digest(view: View, route: Manifest) -> bytes | None:
    """What the tag points at here; None for a digest, and for what is damaged."""
    image = view.image(route.name)
    if image is None or isinstance(route.reference, Digest):
        return None
    row = view.tag(image.id, route.reference)
    return row.digest if row is not None and _is_sound(view, row.digest) else None


def _is_sound(view: View, digest: bytes) -> bool:
    found = view.object(digest)
    return found is not None and not is_hurt(view, found)


def _is_settled(route: Manifest, record: Repository, site: Site, view: View) -> bool:
    """Whether another process has done what was to be done."""
    image = view.image(route.name)
    if image is None:
        return False
    if isinstance(route.reference, Digest):
        key = route.reference.key
        return view.manifest(image.id, key) is not None and _is_sound(view, key)
    row = view.tag(image.id, route.reference)
    ttl = source_of(record).tag_ttl_seconds
    is_fresh = row is not None and site.now() - row.checked_at < max(ttl, 2)
    return is_fresh and row is not None and _is_sound(view, row.digest)
