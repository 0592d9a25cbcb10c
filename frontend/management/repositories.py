"""Repositories: where images are pushed to, their settings, and their end.

Administrators of the registry create and delete them, and set quotas; who has the role `admin` in
one changes its other settings.
"""

from collections.abc import Iterator
from functools import partial
from itertools import islice, takewhile
from typing import Annotated, Final

import msgspec
import trio
from msgspec import UNSET

from cas.verbs import View
from frontend.access.standing import iter_visible, may
from frontend.domain.deeds import Deed
from frontend.domain.message import Principal
from frontend.domain.names import MAX_NAME, parse_repository
from frontend.management.committing import commit
from frontend.management.etags import etag_header, has_not_changed, require_match
from frontend.management.health import HealthShown, shown_health
from frontend.management.problems import Conflict, NotFound
from frontend.management.repository_shapes import (
    DEFAULTS,
    NewRepository,
    RepositoryChange,
    RepositoryListed,
    RepositoryPage,
    RepositoryShown,
    RepositoryWhole,
    listed,
    shown,
    whole,
)
from frontend.management.routing import (
    Admin,
    Asked,
    OnRepository,
    Paging,
    Reply,
    Route,
    Visitor,
    page_of,
)
from frontend.proxy.sources import put_secret
from frontend.registry.call import Registry
from frontend.registry.mirrors import put_mirror
from index.changes import Change, DeleteRepository, PutRepository
from index.errors import ExpectationsFailed
from index.expectations import (
    RepositoryAbsent,
    RepositoryEmpty,
    RepositoryRevision,
    StorageExists,
)
from index.records import Repository, Usage
from index.repositories import iter_leaving

PATH: Final = "/api/v1/repositories"
ONE: Final = "/api/v1/repositories/<storage>/<name>"
AT_ONCE: Final = 2  # lists under way: one that filters looks at all, and holds the interpreter
TRIES: Final = 5  # of a change that others are faster than


class RepositoryListing(Paging, frozen=True, kw_only=True):
    """Which repositories: of one storage, with text in `storage/name` or in the description."""

    storage: Annotated[str, msgspec.Meta(max_length=MAX_NAME)] = ""  # empty: all
    q: Annotated[str, msgspec.Meta(max_length=512)] = ""  # whatever the case

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return not (self.storage or self.q)

    def rows(self, view: View, principal: Principal) -> Iterator[tuple[str, Repository]]:
        """Those that the caller may pull, in the order of their names."""
        start, needle = f"{self.storage}/" if self.storage else "", self.q.lower()
        rows = iter_visible(view, principal, start)
        if start:
            rows = takewhile(lambda row: row[0].startswith(start), rows)
        if not needle:
            return rows
        return (row for row in rows if needle in row[0] or needle in row[1].description.lower())


class Deletion(msgspec.Struct, frozen=True):
    """How to delete a repository: `force` deletes the images in it too."""

    force: bool = False


class Repositories:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store
        self._limiter = trio.CapacityLimiter(AT_ONCE)

    def routes(self) -> tuple[Route, ...]:
        """The calls, and who may make them."""
        return (
            Route(
                method="GET",
                path=PATH,
                access=Visitor(),
                handler=self.list,
                summary="The repositories that the caller may pull; without credentials, those "
                "that are public.",
                query=RepositoryListing,
                answer=RepositoryPage,
            ),
            Route(
                method="POST",
                path=PATH,
                access=Admin("create repositories"),
                handler=self.create,
                summary="Create a repository.",
                body=NewRepository,
                answer=RepositoryShown,
                status=201,
                has_etag=True,
            ),
            Route(
                method="GET",
                path=ONE,
                access=OnRepository("pull", "see"),
                handler=self.show,
                summary="A repository and what it holds.",
                answer=RepositoryWhole,
                has_etag=True,
            ),
            Route(
                method="PATCH",
                path=ONE,
                access=OnRepository("admin", "change"),
                handler=self.change,
                summary="Change settings: what is absent stays, null is the default again.",
                body=RepositoryChange,
                answer=RepositoryWhole,
                has_etag=True,
                takes_if_match=True,
            ),
            Route(
                method="DELETE",
                path=ONE,
                access=Admin("delete repositories"),
                handler=self.delete,
                summary="Delete a repository; one that holds images only by force.",
                query=Deletion,
                status=204,
                takes_if_match=True,
            ),
        )

    async def list(self, asked: Asked) -> Reply:
        """List those that the caller may pull."""
        look = partial(_page, principal=asked.principal, listing=asked.query)
        items, total = await trio.to_thread.run_sync(self._store.read, look, limiter=self._limiter)
        return Reply(page_of(asked.query, items, total))

    async def create(self, asked: Asked) -> Reply:
        """Create one.

        Raises:
            NameInvalid, PatternsInvalid, RequestInvalid, NotFound, Conflict
        """
        wanted: NewRepository = asked.body
        name = f"{wanted.storage}/{wanted.name}"
        parse_repository(name)
        expectations = (StorageExists(wanted.storage), RepositoryAbsent(name))
        try:
            record = wanted.record()
            deed = Deed("repository.create", name, name, _told(record, Repository()))
            password = "" if wanted.upstream is None else wanted.upstream.password
            changes: list[Change] = [
                PutRepository(name, record),
                put_secret(name, password or None),
                *put_mirror(name, None, record.source),
            ]
            await commit(self._registry, asked, deed, changes, expectations)
        except ExpectationsFailed as error:
            if expectations[0] in error.failed:
                raise NotFound(f"there is no storage {wanted.storage}") from None
            raise Conflict(f"repository {name} exists") from None
        record, usage = self._find(name)
        return Reply(shown(name, record), (etag_header(record.encode(), usage.encode()),))

    async def show(self, asked: Asked) -> Reply:
        """Show one.

        Raises:
            NotFound: it went a moment ago.
        """
        record, usage = self._find(asked.repository)
        is_still = record.source is None  # how a proxy is doing changes by itself
        if is_still and has_not_changed(asked, record.encode(), usage.encode()):
            return Reply(headers=(etag_header(record.encode(), usage.encode()),), status=304)
        return self._shown(asked)

    async def change(self, asked: Asked) -> Reply:
        """Change settings; on whatever others have made of them, unless the caller says on what.

        Raises:
            Conflict, Forbidden, NotFound, Outdated, PatternsInvalid
        """
        name, wanted = asked.repository, asked.body
        is_administrator = asked.principal.is_administrator
        for _ in range(TRIES):
            record, _ = self._find(name)
            require_match(asked, record.encode())
            changed = wanted.merged(record, is_administrator=is_administrator)
            if changed == record and wanted.password is UNSET:
                return self._shown(asked)
            current = RepositoryRevision(name, record.revision)
            changes: list[Change] = [
                PutRepository(name, changed),
                *put_mirror(name, record.source, changed.source),
            ]
            if wanted.password is not UNSET:
                changes.append(put_secret(name, wanted.password or None))
            try:
                deed = Deed("repository.update", name, name, _told(changed, record))
                await commit(self._registry, asked, deed, changes, [current])
            except ExpectationsFailed:
                continue
            if changed.source is not None:
                self._registry.proxy.changed(name)
            return self._shown(asked)
        raise Conflict(f"others change repository {name} all the time: try again")

    async def delete(self, asked: Asked) -> Reply:
        """Delete one: nobody finds it any more, and what it holds goes in the background.

        Raises:
            Conflict: it is not empty, and `force` was not given.
            NotFound, Outdated
        """
        name = asked.repository
        empty = () if asked.query.force else (RepositoryEmpty(name),)
        for _ in range(TRIES):
            record, _ = self._find(name)
            require_match(asked, record.encode())
            current = RepositoryRevision(name, record.revision)
            try:
                deed = Deed("repository.delete", name)
                changes: list[Change] = [
                    DeleteRepository(name),
                    put_secret(name, None),
                    *put_mirror(name, record.source, None),
                ]
                await commit(self._registry, asked, deed, changes, [*empty, current])
            except ExpectationsFailed as error:
                if current not in error.failed:
                    raise Conflict(f"repository {name} holds images: use ?force=true") from None
            else:
                return Reply()
        raise Conflict(f"others change repository {name} all the time: try again")

    def _shown(self, asked: Asked) -> Reply:
        name = asked.repository
        record, usage = self._find(name)
        shown = whole(name, record, usage, self._health(asked, record))
        return Reply(shown, (etag_header(record.encode(), usage.encode()),))

    def _health(self, asked: Asked, record: Repository) -> HealthShown | None:
        if record.source is None:
            return None
        found = self._registry.figures.of(record.id)
        look = partial(may, principal=asked.principal, action="admin", name=asked.repository)
        is_administrator = self._store.read(partial(look, record=record))
        return shown_health(record, found, is_administrator=is_administrator)

    def _find(self, name: str) -> tuple[Repository, Usage]:
        found = self._store.read(partial(_look, name=name))
        if found is None:
            raise NotFound(f"no repository {name[:200]} that you may use")
        return found


def _told(record: Repository, before: Repository) -> dict[str, str | int]:
    """The settings that differ, for the journal."""
    return {
        name: value if isinstance(value, str | int) else " ".join(value)
        for name in DEFAULTS
        if (value := getattr(record, name)) != getattr(before, name)
    }


def _look(view: View, name: str) -> tuple[Repository, Usage] | None:
    record = view.repository(name)
    return None if record is None else (record, view.usage(record.id))


def _page(
    view: View, principal: Principal, listing: RepositoryListing
) -> tuple[list[RepositoryListed], int]:
    """A page, and how many there are: an administrator's are counted, others' looked at."""
    rows = listing.rows(view, principal)
    page = islice(rows, listing.start, listing.start + listing.size)
    items = [listed(name, record, view.usage(record.id)) for name, record in page]
    if principal.is_administrator and listing.is_all:
        return items, view.entries("repository") - sum(1 for _ in iter_leaving(view))
    skipped = listing.rows(view, principal)
    before = listing.start + len(items) if items else sum(1 for _ in skipped)
    return items, before + sum(1 for _ in rows)
