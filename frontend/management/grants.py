"""Grants: the roles that users have in a repository."""

from functools import partial

import msgspec

from cas.verbs import View
from frontend.access.grants import iter_grants, put_grant
from frontend.access.users import TABLE, find_row, fold
from frontend.domain.deeds import Deed
from frontend.domain.rights import Role
from frontend.management.committing import commit
from frontend.management.problems import Conflict, NotFound
from frontend.management.routing import Asked, OnRepository, Paging, Reply, Route, page_of
from frontend.registry.call import Registry
from index.errors import ExpectationsFailed
from index.expectations import RecordIs, RepositoryRevision
from index.records import Repository


class NewGrant(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `PUT …/grants/{username}`."""

    role: Role


class GrantShown(msgspec.Struct, frozen=True):
    """A user's role in a repository."""

    username: str
    role: str


class GrantPage(msgspec.Struct, frozen=True):
    """A page of roles, in the order of the users' names."""

    page: int
    per_page: int
    total: int
    items: list[GrantShown]


class Grants:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store

    def routes(self) -> tuple[Route, ...]:
        """The calls, and who may make them."""
        place = "/api/v1/repositories/<storage>/<name>/grants"
        access = OnRepository("admin", "give roles in")
        return (
            Route(
                method="GET",
                path=place,
                access=access,
                handler=self.list,
                summary="Who has which role in a repository; administrators have all rights.",
                query=Paging,
                answer=GrantPage,
            ),
            Route(
                method="GET",
                path=f"{place}/<username>",
                access=access,
                handler=self.show,
                summary="A user's role in a repository.",
                answer=GrantShown,
            ),
            Route(
                method="PUT",
                path=f"{place}/<username>",
                access=access,
                handler=self.put,
                summary="Give a user a role: reader pulls, writer pushes too, admin deletes and "
                "gives roles.",
                body=NewGrant,
                answer=GrantShown,
            ),
            Route(
                method="DELETE",
                path=f"{place}/<username>",
                access=access,
                handler=self.delete,
                summary="Take a user's role away.",
                status=204,
            ),
        )

    async def list(self, asked: Asked) -> Reply:
        """List all of them."""
        record = self._record(asked)
        rows = self._store.read(
            lambda view: [GrantShown(*each) for each in iter_grants(view, record.id)]
        )
        return Reply(page_of(asked.query, rows))

    async def show(self, asked: Asked) -> Reply:
        """Show one.

        Raises:
            NotFound
        """
        name, role = self._find(asked, self._record(asked))
        return Reply(GrantShown(name, role))

    async def put(self, asked: Asked) -> Reply:
        """Give a role.

        Raises:
            NotFound: there is no such user.
        """
        record, name = self._record(asked), fold(asked.place["username"])
        row = self._store.read(partial(find_row, name=name))
        if row is None:
            raise NotFound(f"there is no user {name[:80]}")
        await self._commit(asked, record, asked.body.role, RecordIs(TABLE, name.encode(), row))
        return Reply(GrantShown(name, asked.body.role))

    async def delete(self, asked: Asked) -> Reply:
        """Take a role away.

        Raises:
            NotFound: he has none.
        """
        record = self._record(asked)
        self._find(asked, record)
        await self._commit(asked, record, None)
        return Reply()

    async def _commit(
        self, asked: Asked, record: Repository, role: str | None, *more: RecordIs
    ) -> None:
        user, name = fold(asked.place["username"]), asked.repository
        changes = put_grant(record.id, user, role)
        detail = {"user": user} if role is None else {"user": user, "role": role}
        deed = Deed("grant.delete" if role is None else "grant.set", name, name, detail)
        current = RepositoryRevision(asked.repository, record.revision)
        try:
            await commit(self._registry, asked, deed, changes, (current, *more))
        except ExpectationsFailed:
            raise Conflict("the user or the repository was changed meanwhile: try again") from None

    def _record(self, asked: Asked) -> Repository:
        name = asked.repository
        record: Repository | None = self._store.read(lambda view: view.repository(name))
        if record is None:
            raise NotFound(f"no repository {name[:200]} that you may use")
        return record

    def _find(self, asked: Asked, record: Repository) -> tuple[str, str]:
        name = fold(asked.place["username"])
        role = self._store.read(partial(_role, repository=record.id, name=name))
        if role is None:
            raise NotFound(f"{name[:80]} has no role in {asked.repository}")
        return name, role


def _role(view: View, repository: int, name: str) -> str | None:
    return dict(iter_grants(view, repository)).get(name)
