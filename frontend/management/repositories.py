"""Repositories: where images are pushed to."""

from functools import partial
from typing import Literal

import msgspec

from cas.verbs import View
from frontend.access.standing import iter_visible
from frontend.domain.message import Principal
from frontend.domain.names import parse_repository
from frontend.management.committing import commit
from frontend.management.problems import Conflict, NotFound
from frontend.management.replies import time_text
from frontend.management.routing import (
    Account,
    Admin,
    Asked,
    OnRepository,
    Paging,
    Reply,
    Route,
    page_of,
)
from frontend.registry.call import Registry
from index.changes import PutRepository, RepositoryAbsent, StorageExists
from index.errors import ExpectationsFailed
from index.records import Repository

Kind = Literal["hosted"]
Visibility = Literal["private", "public"]


class NewRepository(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of `POST /api/v1/repositories`."""

    storage: str
    name: str
    kind: Kind = "hosted"
    visibility: Visibility = "private"
    description: str = ""


class RepositoryShown(msgspec.Struct, frozen=True, kw_only=True):
    """A repository, as lists show it."""

    storage: str
    name: str
    kind: str
    visibility: str
    description: str
    created_at: str


class RepositoryWhole(RepositoryShown, frozen=True, kw_only=True):
    """A repository and what it holds; `size` in bytes, each digest counted once."""

    size: int
    images: int
    manifests: int


class RepositoryPage(msgspec.Struct, frozen=True):
    """A page of repositories, in the order of their names."""

    page: int
    per_page: int
    total: int
    items: list[RepositoryShown]


class Repositories:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store

    def routes(self) -> tuple[Route, ...]:
        """The calls, and who may make them."""
        return (
            Route(
                method="GET",
                path="/api/v1/repositories",
                access=Account(),
                handler=self.list,
                summary="The repositories that the caller may pull.",
                query=Paging,
                answer=RepositoryPage,
            ),
            Route(
                method="POST",
                path="/api/v1/repositories",
                access=Admin("create repositories"),
                handler=self.create,
                summary="Create a repository.",
                body=NewRepository,
                answer=RepositoryShown,
                status=201,
            ),
            Route(
                method="GET",
                path="/api/v1/repositories/<storage>/<name>",
                access=OnRepository("pull", "see"),
                handler=self.show,
                summary="A repository and what it holds.",
                answer=RepositoryWhole,
            ),
        )

    async def list(self, asked: Asked) -> Reply:
        """List those that the caller may pull."""
        rows = self._store.read(partial(_repositories, principal=asked.principal))
        return Reply(page_of(asked.query, rows))

    async def create(self, asked: Asked) -> Reply:
        """Create one.

        Raises:
            NameInvalid, NotFound, Conflict
        """
        wanted: NewRepository = asked.body
        name = f"{wanted.storage}/{wanted.name}"
        parse_repository(name)
        record = Repository(
            kind=wanted.kind,
            visibility=wanted.visibility,
            description=wanted.description,
            created_at=self._registry.site.now(),
        )
        expectations = (StorageExists(wanted.storage), RepositoryAbsent(name))
        try:
            await commit(self._registry, asked, [PutRepository(name, record)], expectations)
        except ExpectationsFailed as error:
            if expectations[0] in error.failed:
                raise NotFound(f"there is no storage {wanted.storage}") from None
            raise Conflict(f"repository {name} exists") from None
        return Reply(RepositoryShown(**_described(name, record)))

    async def show(self, asked: Asked) -> Reply:
        """Show one.

        Raises:
            NotFound: it went a moment ago.
        """
        found = self._store.read(partial(_repository, name=asked.repository))
        if found is None:
            raise NotFound(f"no repository {asked.repository[:200]} that you may use")
        return Reply(found)


def _repositories(view: View, principal: Principal) -> list[RepositoryShown]:
    return [
        RepositoryShown(**_described(name, record))
        for name, record in iter_visible(view, principal)
    ]


def _repository(view: View, name: str) -> RepositoryWhole | None:
    record = view.repository(name)
    if record is None:
        return None
    usage = view.usage(record.id)
    return RepositoryWhole(
        **_described(name, record),
        size=usage.linked,
        images=usage.images,
        manifests=usage.manifests,
    )


def _described(name: str, record: Repository) -> dict[str, str]:
    storage, _, own = name.partition("/")
    return {
        "storage": storage,
        "name": own,
        "kind": record.kind,
        "visibility": record.visibility,
        "description": record.description,
        "created_at": time_text(record.created_at),
    }
