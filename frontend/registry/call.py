"""One write under way: what was asked, by whom, and the store that will do it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import trio

from cas.digest import Digest
from cas.harm import Damage
from cas.stats import Stats
from cas.uploads.underway import UnderWay
from cas.verbs import Store, StoreChange
from frontend.access.credentials import Authenticator
from frontend.access.limits import Limits
from frontend.access.signing import Signer
from frontend.access.standing import expect, find_place
from frontend.access.uses import new_uses, tokens_of
from frontend.domain.deeds import Deed, entry_of
from frontend.domain.faults import CsrfFailed, NameUnknown, Unauthorized, Unsupported
from frontend.domain.message import Client, Principal, Realm, Request, Response
from frontend.domain.paging import parse_query
from frontend.domain.peer import Proxies
from frontend.domain.rights import Action, Place, require
from frontend.domain.tag_rules import rules_for
from frontend.figures.reading import Figures
from frontend.registry.cached import Uncached
from frontend.registry.places import UploadPlaces
from frontend.registry.pulls import new_pulls
from frontend.registry.rules import Room, fault_of
from frontend.registry.site import Site
from frontend.server.body import Body
from frontend.server.clients import address_of
from frontend.settings import Settings
from frontend.touches import Touches
from index.changes import ImageName, Note
from index.errors import ExpectationsFailed
from index.expectations import Expectation, RepositoryRevision
from index.records import Entry, Repository

_DAY_MS: Final = 86_400_000
CHANGED: Final = "what you logged in with was changed meanwhile: log in again"


@dataclass(slots=True)
class Health:
    """What `/readyz` says; set by whoever ends the server."""

    is_draining: bool = False
    can_write: Callable[[], bool] = lambda: True  # sync, and quick


class CountedStore(Store, Protocol):
    """The verbs, and how much there is."""

    async def stats(self) -> Stats:
        """What is stored and what that saves."""

    async def under_way(self) -> list[UnderWay]:
        """The uploads that are staged."""

    async def damaged(self) -> list[Damage]:
        """What is damaged now, and whom it hurts."""


class Fetching(Protocol):
    """Reads of proxy repositories that a snapshot cannot answer."""

    async def answer(self, uncached: Uncached, request: Request, site: Site) -> Response:
        """Answer one, of somebody who may pull.

        Raises:
            FrontendFault, CasError, IndexFault
        """

    def changed(self, repository: str) -> None:
        """The settings of a proxy repository were changed."""

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Do what must go on when the client who asked has left; until cancelled."""


@dataclass(frozen=True, slots=True)
class Registry:
    """What every request shares; made once."""

    store: Store
    settings: Settings
    site: Site
    authenticator: Authenticator
    signer: Signer
    uploads: UploadPlaces
    limits: Limits
    proxies: Proxies
    proxy: Fetching
    stats: Callable[[], Awaitable[Stats]]
    damaged: Callable[[], Awaitable[list[Damage]]]
    under_way: Callable[[], Awaitable[list[UnderWay]]]
    figures: Figures
    health: Health = field(default_factory=Health)
    pulls: Touches[str] = field(default_factory=new_pulls)
    uses: Touches[str] = field(default_factory=new_uses)

    @property
    def has_many_names(self) -> bool:
        """Whether a proxy of ours may say by which name a client reached us."""
        return bool(self.proxies) and not self.settings.http.public_url

    def client(self, connected: tuple[str, int] | None, headers: Mapping[str, str]) -> Client:
        """The client of a request that came by a connection; lower-case names."""
        peer = self.proxies.find(address_of(connected), headers)
        if not (peer.host and self.has_many_names):
            return Client(peer.address, self.site.realm)
        scheme = peer.scheme or self.site.realm.url.partition("://")[0]
        return Client(peer.address, Realm(f"{scheme}://{peer.host}/v2/token", peer.host))

    async def identify(
        self, headers: Mapping[str, str], client: Client, scope: str = "", method: str = "GET"
    ) -> Principal:
        """Who asks, and may ask now. `scope` is what a challenge is to name.

        Raises:
            Unauthorized, CsrfFailed, TooManyRequests: see `Authenticator`.
            TooManyRequests: see `counted`.
        """
        prove = partial(self.authenticator.authenticate, headers, client, scope, method)
        return await self.counted(client.address, prove)

    async def counted(self, address: str, prove: Callable[[], Awaitable[Principal]]) -> Principal:
        """Whoever `prove` finds, with his request counted: for whom it finds nobody, by address.

        Raises:
            Unauthorized, CsrfFailed, TooManyRequests: what `prove` raises.
            TooManyRequests: the account, or the address, has to wait.
        """
        try:
            principal = await prove()
        except (Unauthorized, CsrfFailed):
            self.limits.check_rate("", address)
            raise
        self.limits.check_rate(principal.name, address)
        for token in tokens_of(principal):
            self.uses.note(token)
        return principal

    def note(self, principal: Principal, address: str, deed: Deed) -> Note:
        """The change that tells the journal of a deed: for the commit that does it."""
        return self.noted(entry_of(deed, principal, address, self.site.now_ms()), deed.repository)

    def noted(self, entry: Entry, repository: str = "") -> Note:
        """The change that appends an entry, within the bounds of the configuration."""
        bounds = self.settings.journal
        since = entry.at - round(bounds.max_age_days * _DAY_MS)
        return Note(entry, repository, bounds.max_rows, max(0, since))


@dataclass(frozen=True, slots=True)
class Call:
    """A write as its handler sees it."""

    registry: Registry
    request: Request
    body: Body

    @property
    def store(self) -> Store:
        """The seven verbs."""
        return self.registry.store

    def upload_place(self) -> AbstractContextManager[None]:
        """Hold a place among the uploads for a block: for a body that may take MiB.

        Raises:
            TooManyRequests: none is free. Waiting would only hide the load from the client.
        """
        return self.registry.uploads.place(self.request.principal.name)

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """The query's parameters, in order.

        Raises:
            RequestInvalid: too many.
        """
        return parse_query(self.request.query)

    def require(self, action: Action, image: ImageName) -> Repository:
        """The repository's record, when the caller may do `action` in it.

        Raises:
            Unauthorized, NameUnknown, Denied: see `domain.rights`.
            Unsupported: the repository takes no writes.
        """
        return self._require(action, image)[0]

    def _require(self, action: Action, image: ImageName) -> tuple[Repository, Place]:
        principal = self.request.principal
        look = partial(find_place, principal=principal, name=image.repository)
        place = self.store.read(look)
        record = require(principal, action, image, place)
        if record.kind != "hosted":
            raise Unsupported(f"repository {image.repository} is a cache: nothing is pushed to it")
        return record, place

    async def commit(
        self,
        action: Action,
        image: ImageName,
        changes: Sequence[StoreChange],
        expectations: Sequence[Expectation] = (),
        *,
        size: int = 0,
    ) -> None:
        """Commit what the caller may do in `image`, on settings and rights as they are then.

        `size` is that of an upload to be adopted. The repository's rules are expected too; what is
        missing, or not as expected, is told before them.

        Raises:
            ExpectationsFailed: those of `expectations` that did not hold.
            TagImmutable, QuotaExceeded: a rule of the repository did not.
            Unauthorized: what proved the caller has changed.
            NameUnknown: the repository went, or changes too fast to follow.
        """
        who = expect(self.request.principal.evidence)
        for _ in range(2):  # once more when somebody changed its settings, or the role, meanwhile
            record, place = self._require(action, image)
            revision = RepositoryRevision(image.repository, record.revision)
            current = (revision, *expect(place.evidence))
            rules = rules_for(record, image.repository, changes)
            try:
                await self.store.commit(changes, (*expectations, *who, *rules, *current))
            except ExpectationsFailed as error:
                if any(failed in who for failed in error.failed):
                    raise Unauthorized(CHANGED) from None
                others = tuple(failed for failed in error.failed if failed in expectations)
                if others:
                    raise ExpectationsFailed(others) from None
                if not any(failed in current for failed in error.failed):
                    look = partial(fault_of, failed=error.failed, changes=changes, size=size)
                    raise self.store.read(look) from None
            else:
                return
        raise NameUnknown(str(image))

    def note(self, deed: Deed) -> Note:
        """The change that tells the journal of a deed: for the commit that does it."""
        return self.registry.note(self.request.principal, self.request.address, deed)

    def room(self, record: Repository, image: ImageName, digest: Digest | None = None) -> Room:
        """What the repository, with the settings that were read, may still take."""
        return Room(self.store, image.repository, record.quota_bytes, digest)
