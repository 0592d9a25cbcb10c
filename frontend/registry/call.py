"""One write under way: what was asked, by whom, and the store that will do it."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import trio

from cas.harm import Damage
from cas.stats import Stats
from cas.verbs import Store, StoreChange, View
from frontend.access.credentials import Authenticator
from frontend.access.tokens import Signer
from frontend.domain.faults import NameUnknown, TooManyRequests, Unsupported
from frontend.domain.message import Request
from frontend.domain.paging import parse_query
from frontend.domain.rights import Action, require
from frontend.registry.site import Site
from frontend.server.body import Body
from frontend.settings import Settings
from index.changes import Expectation, ImageName, RepositoryRevision
from index.errors import ExpectationsFailed
from index.records import Repository


@dataclass(slots=True)
class Health:
    """What `/readyz` says; set by whoever ends the server."""

    is_draining: bool = False
    can_write: Callable[[], bool] = lambda: True  # sync, and quick


class CountedStore(Store, Protocol):
    """The verbs, and how much there is."""

    async def stats(self) -> Stats:
        """What is stored and what that saves."""

    async def damaged(self) -> list[Damage]:
        """What is damaged now, and whom it hurts."""


@dataclass(frozen=True, slots=True)
class Registry:
    """What every request shares; made once."""

    store: Store
    settings: Settings
    site: Site
    authenticator: Authenticator
    signer: Signer
    uploads: trio.CapacityLimiter
    stats: Callable[[], Awaitable[Stats]]
    damaged: Callable[[], Awaitable[list[Damage]]]
    health: Health = field(default_factory=Health)

    @contextmanager
    def upload_slot(self) -> Iterator[None]:
        """Hold one of the places of `limits.concurrent_uploads`: for a body that may take MiB.

        Raises:
            TooManyRequests: none is free. Waiting would only hide the load from the client.
        """
        holder = object()
        try:
            self.uploads.acquire_on_behalf_of_nowait(holder)
        except trio.WouldBlock:
            raise TooManyRequests(retry_after=5) from None
        try:
            yield
        finally:
            self.uploads.release_on_behalf_of(holder)


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
        record = self.store.read(partial(_repository, name=image.repository))
        realm = self.registry.site.realm
        record = require(self.request.principal, action, image, record, realm)
        if record.kind != "hosted":
            raise Unsupported(f"repository {image.repository} is a cache: nothing is pushed to it")
        return record

    async def commit(
        self,
        action: Action,
        image: ImageName,
        changes: Sequence[StoreChange],
        expectations: Sequence[Expectation] = (),
    ) -> None:
        """Commit what the caller may do in `image` on the repository's settings as they are now.

        Raises:
            ExpectationsFailed: those of `expectations` that did not hold.
            NameUnknown: the repository went, or changes too fast to follow.
        """
        for _ in range(2):  # once more when somebody changed its settings meanwhile
            revision = self.require(action, image).revision
            current = RepositoryRevision(image.repository, revision)
            try:
                await self.store.commit(changes, (*expectations, current))
            except ExpectationsFailed as error:
                others = tuple(failed for failed in error.failed if failed != current)
                if others:
                    raise ExpectationsFailed(others) from None
            else:
                return
        raise NameUnknown(str(image))


def _repository(view: View, name: str) -> Repository | None:
    return view.repository(name)
