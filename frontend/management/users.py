"""Users: accounts, their roles and their passwords."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Literal, Protocol

import msgspec

from cas.verbs import View
from frontend.access.changing import (
    LastAdmin,
    Plan,
    plan_change,
    plan_creation,
    plan_password,
    plan_removal,
)
from frontend.access.users import (
    ADMIN,
    User,
    find_row,
    fold,
    is_user_name,
    iter_users,
    new_user,
)
from frontend.bootstrap import PASSWORD_FILE
from frontend.domain.deeds import Deed
from frontend.domain.discreet import Discreet
from frontend.domain.faults import RequestInvalid
from frontend.management.committing import commit
from frontend.management.etags import etag_header, has_not_changed, require_match
from frontend.management.problems import Conflict, Forbidden, NotFound
from frontend.management.replies import time_text
from frontend.management.routing import Admin, Asked, Own, Paging, Reply, Route, page_of
from frontend.registry.call import Registry
from index.errors import ExpectationsFailed

Role = Literal["admin", "user"]
ATTEMPTS: Final = 3  # when somebody else changes the same meanwhile


class NewUser(Discreet, msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of `POST /api/v1/users`."""

    username: str
    password: str
    role: Role = "user"


class UserPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of `PATCH /api/v1/users/{username}`: what is not there stays as it is."""

    role: Role | msgspec.UnsetType = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET


class NewPassword(Discreet, msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of `PUT /api/v1/users/{username}/password`; one's own needs the current one."""

    password: str
    current_password: str | None = None


class UserShown(msgspec.Struct, frozen=True, kw_only=True):
    """An account."""

    username: str
    role: str
    disabled: bool
    created_at: str | None


class UserPage(msgspec.Struct, frozen=True):
    """A page of accounts, in the order of their names."""

    page: int
    per_page: int
    total: int
    items: list[UserShown]


class Planner(Protocol):
    """What a change to the account of a folded name, whose row is `row`, takes."""

    def __call__(self, view: View, name: str, row: bytes) -> Plan:
        """Plan it on a snapshot."""


class Users:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store

    def routes(self) -> tuple[Route, ...]:
        """The calls, and who may make them."""
        one = "/api/v1/users/<username>"
        return (
            Route(
                method="GET",
                path="/api/v1/users",
                access=Admin("list users"),
                handler=self.list,
                summary="All users.",
                query=Paging,
                answer=UserPage,
            ),
            Route(
                method="POST",
                path="/api/v1/users",
                access=Admin("create users"),
                handler=self.create,
                summary="Create a user.",
                body=NewUser,
                answer=UserShown,
                status=201,
                has_etag=True,
            ),
            Route(
                method="GET",
                path=one,
                access=Own("see a user"),
                handler=self.show,
                summary="A user.",
                answer=UserShown,
                has_etag=True,
            ),
            Route(
                method="PATCH",
                path=one,
                access=Admin("change users"),
                handler=self.change,
                summary="Change a user's role, or disable him: he is refused from then on.",
                body=UserPatch,
                answer=UserShown,
                has_etag=True,
                takes_if_match=True,
            ),
            Route(
                method="DELETE",
                path=one,
                access=Admin("delete users"),
                handler=self.delete,
                summary="Delete a user with his tokens, sessions and roles.",
                status=204,
                takes_if_match=True,
            ),
            Route(
                method="PUT",
                path=f"{one}/password",
                access=Own("change a password", is_direct=True),
                handler=self.set_password,
                summary="Change a password: sessions and logins of clients end, tokens stay.",
                body=NewPassword,
                status=204,
            ),
        )

    async def list(self, asked: Asked) -> Reply:
        """List all of them."""
        rows = self._store.read(lambda view: [shown(name, user) for name, user in iter_users(view)])
        return Reply(page_of(asked.query, rows))

    async def create(self, asked: Asked) -> Reply:
        """Create one.

        Raises:
            RequestInvalid, Conflict
        """
        name = fold(asked.body.username)
        if not is_user_name(name):
            raise RequestInvalid(
                "a user name has 1 to 64 letters, digits and . _ - @ +, and begins and ends with "
                "a letter or a digit"
            )
        encoded = await self._registry.authenticator.hash_password(asked.body.password)
        user = new_user(encoded, asked.body.role, self._registry.site.now())
        try:
            deed = Deed("user.create", name, detail={"role": user.role})
            await self._attempt(asked, deed, partial(plan_creation, name=name, user=user))
        except ExpectationsFailed:
            raise Conflict(f"user {name} exists") from None
        return Reply(shown(name, user), (etag_header(user.encode()),))

    async def show(self, asked: Asked) -> Reply:
        """Show one.

        Raises:
            NotFound
        """
        name, row = self._find(asked)
        if has_not_changed(asked, row):
            return Reply(headers=(etag_header(row),), status=304)
        return Reply(shown(name, User.decode(row)), (etag_header(row),))

    async def change(self, asked: Asked) -> Reply:
        """Change one.

        Raises:
            NotFound, Outdated
            Conflict: he is the last administrator.
        """
        deed, plan = _changed(asked.body), partial(_plan_patch, patch=asked.body)
        name, user = await self._commit(asked, deed, plan)
        return Reply(shown(name, user), (etag_header(user.encode()),))

    async def delete(self, asked: Asked) -> Reply:
        """Delete one.

        Raises:
            As `change`.
        """
        await self._commit(asked, Deed("user.delete"), plan_removal)
        return Reply()

    async def set_password(self, asked: Asked) -> Reply:
        """Change a password.

        Raises:
            RequestInvalid, NotFound, Forbidden, TooManyRequests
        """
        name, _ = self._find(asked)
        authenticator, body = self._registry.authenticator, asked.body
        if name == asked.principal.name and asked.principal.via != "socket":
            if body.current_password is None:
                raise RequestInvalid("to change your own password, say the current one too")
            if not await authenticator.is_password(
                name, body.current_password, asked.client.address
            ):
                raise Forbidden("the current password is another one")
        encoded = await authenticator.hash_password(body.password)
        plan = partial(plan_password, encoded=encoded, via=asked.principal.via)
        await self._commit(asked, Deed("user.password"), plan)
        if name == ADMIN:  # what the first start wrote down is worth nothing any more
            file = Path(self._registry.settings.storage.data) / PASSWORD_FILE
            file.unlink(missing_ok=True)
        return Reply()

    def _find(self, asked: Asked) -> tuple[str, bytes]:
        name = fold(asked.place["username"])
        row = self._store.read(partial(find_row, name=name))
        if row is None:
            raise NotFound(f"there is no user {name[:80]}")
        return name, row

    async def _commit(self, asked: Asked, deed: Deed, plan: Planner) -> tuple[str, User]:
        """Plan on what there is, and commit; once more when it changed meanwhile."""
        for _ in range(ATTEMPTS):
            name, row = self._find(asked)
            require_match(asked, row)
            try:
                told = replace(deed, target=name)
                await self._attempt(asked, told, partial(plan, name=name, row=row))
            except LastAdmin:
                raise Conflict(f"{name} is the last administrator: make another first") from None
            except ExpectationsFailed:
                continue
            return name, User.decode(self._store.read(partial(find_row, name=name)) or row)
        raise Conflict(f"user {asked.place['username'][:80]} is being changed by others: try again")

    async def _attempt(self, asked: Asked, deed: Deed, plan: Callable[[View], Plan]) -> None:
        changes, expectations = self._store.read(plan)
        await commit(self._registry, asked, deed, changes, expectations)


def shown(name: str, user: User) -> UserShown:
    """An account as the API shows it."""
    return UserShown(
        username=name,
        role=user.role,
        disabled=user.is_disabled,
        created_at=time_text(user.created_at) if user.created_at else None,
    )


def _changed(patch: UserPatch) -> Deed:
    detail: dict[str, str | int] = {}
    if patch.role is not msgspec.UNSET:
        detail["role"] = patch.role
    if patch.disabled is not msgspec.UNSET:
        detail["disabled"] = int(patch.disabled)
    return Deed("user.update", detail=detail)


def _plan_patch(view: View, name: str, row: bytes, patch: UserPatch) -> Plan:
    user = User.decode(row)
    role = user.role if patch.role is msgspec.UNSET else patch.role
    disabled = user.is_disabled if patch.disabled is msgspec.UNSET else patch.disabled
    changed = msgspec.structs.replace(user, role=role, is_disabled=disabled)
    return plan_change(view, name, row, changed)
