"""Administration of repositories: making one, its settings, who has a role in it, and its end.

Administrators of the registry see all of it. Who has the role `admin` in a repository sees its
settings and its members; the quota, the upstream and the end are not his.
"""

from typing import Any, Final, Literal

import msgspec

from frontend.domain.faults import RequestInvalid
from frontend.management.grants import GrantPage
from frontend.management.repositories import ONE, PATH, RepositoryListing
from frontend.management.repository_shapes import RepositoryPage, RepositoryWhole
from frontend.management.routing import Admin, OnRepository, Paging
from frontend.management.storages import StoragePage
from frontend.web.page import Page, Redirect, Shown, Visit

PER_PAGE: Final = 50
ALL: Final = 1000  # storages to choose from: as many as the API gives at once
GIB: Final = 1 << 30  # bytes: the unit in which people type sizes
TTL_SECONDS: Final = 300
ROLES: Final = (
    ("reader", "reader: pulls"),
    ("writer", "writer: pulls and pushes"),
    ("admin", "admin: also deletes, changes settings and gives roles"),
)
VISIBILITIES: Final = (
    ("private", "private: who has a role"),
    ("public", "public: anybody may pull"),
)
# Of which field the API's words are, where they do not say so themselves.
_FIELDS: Final = (
    ("not a repository name", "name"),
    ("there is no storage", "storage"),
    ("repository ", "name"),
    ("the upstream ", "url"),
    ("the password of the upstream", "password"),
    ("another url or username", "password"),
    ("there is no user", "user"),
    ("tag pattern ", "immutable_tags"),
    ("a tag pattern ", "immutable_tags"),
    ("a repository has at most ", "immutable_tags"),
)


class Making(msgspec.Struct, frozen=True):
    """Which kind of repository the empty form is for."""

    kind: Literal["hosted", "proxy"] = "hosted"
    storage: str = ""


class AdminRepositoryPages:
    """The handlers."""

    def pages(self) -> tuple[Page, ...]:
        """The pages, and who may see them."""
        admin, one = Admin("administer repositories"), f"/admin{PATH.removeprefix('/api/v1')}"
        place = f"{one}/<storage>/<name>"
        manager = OnRepository("admin", "change")

        def form(path: str, access: Admin | OnRepository, handler: Any) -> Page:  # noqa: ANN401 - a handler
            return Page(
                method="POST", path=path, access=access, handler=handler, again=self.show_again
            )

        return (
            Page(method="GET", path="/admin", access=admin, handler=self.begin),
            Page(method="GET", path=one, access=admin, handler=self.list, query=RepositoryListing),
            Page(
                method="GET", path=f"{one}/new", access=admin, handler=self.show_new, query=Making
            ),
            Page(method="POST", path=one, access=admin, handler=self.create, again=self.show_new),
            Page(method="GET", path=place, access=manager, handler=self.show, query=Paging),
            form(f"{place}/settings", manager, self.change),
            form(f"{place}/delete", admin, self.delete),
            form(f"{place}/grants", manager, self.grant),
            Page(
                method="POST",
                path=f"{place}/grants/<username>/revoke",
                access=manager,
                handler=self.revoke,
            ),
        )

    async def begin(self, _: Visit) -> Redirect:
        """Go to the first page of administration."""
        return Redirect("/admin/repositories")

    async def list(self, visit: Visit) -> Shown:
        """Show all repositories with their rules."""
        query: RepositoryListing = visit.query
        found: RepositoryPage = await visit.calls.get(
            PATH, page=query.page, per_page=PER_PAGE, storage=query.storage, q=query.q
        )
        return Shown("admin_repositories.html", {"found": found})

    async def show_new(self, visit: Visit) -> Shown:
        """Show the form for a new one, empty or as it was refused."""
        visit = visit.placed(_FIELDS)
        is_again = visit.refusal is not None
        kind = visit.form["kind"] if is_again else visit.query.kind
        storages: StoragePage = await visit.calls.get("/api/v1/storages", per_page=ALL)
        values = {
            "kind": "proxy" if kind == "proxy" else "hosted",
            "typed": visit.typed("/admin/repositories"),
            "storages": [(each.name, each.name) for each in storages.items],
            "storage": "" if is_again else visit.query.storage,
            "visibilities": VISIBILITIES,
            "ttl": str(TTL_SECONDS),
        }
        return Shown("admin_repository_new.html", values)

    async def create(self, visit: Visit) -> Redirect:
        """Make one."""
        form = visit.form
        storage, name = form.stripped("storage"), form.stripped("name")
        body: dict[str, Any] = {
            "storage": storage,
            "name": name,
            "kind": form["kind"],
            "visibility": form["visibility"],
            "description": form.stripped("description"),
        }
        if form["kind"] == "proxy":
            body["upstream"] = _upstream(visit) | {"password": form["password"]}
        else:
            body |= _rules(visit)
        await visit.calls.post(PATH, body)
        return Redirect(_link(storage, name), f"Repository {storage}/{name} was made.")

    async def show_again(self, visit: Visit) -> Shown:
        """Show a repository with the form that was refused."""
        return await self.show(visit.placed(_FIELDS))

    async def show(self, visit: Visit) -> Shown:
        """Show a repository's settings and members."""
        reply = await visit.calls.ask("GET", ONE, **visit.place_of_repository)
        found: RepositoryWhole = reply.value
        grants: GrantPage = await visit.calls.get(
            f"{ONE}/grants",
            page=1 if visit.query is None else visit.query.page,
            per_page=PER_PAGE,
            **visit.place_of_repository,
        )
        upstream, link = found.upstream, self._here(visit)
        values = {
            "found": found,
            "etag": dict(reply.headers).get("ETag", ""),
            "grants": grants,
            "roles": ROLES,
            "visibilities": VISIBILITIES,
            "link": link,
            "settings": visit.typed(f"{link}/settings"),
            "granting": visit.typed(f"{link}/grants"),
            "quota": in_gib(found.quota_bytes),
            "max_size": in_gib(upstream.max_bytes) if upstream else "",
        }
        return Shown("admin_repository.html", values)

    async def change(self, visit: Visit) -> Redirect:
        """Change settings, unless others did meanwhile."""
        form = visit.form
        body: dict[str, Any] = {
            "visibility": form["visibility"],
            "description": form.stripped("description"),
        }
        if form["kind"] == "hosted":
            body |= _rules(visit)
        elif visit.is_administrator:
            body["upstream"] = _upstream(visit)
            if form["password"]:
                body["upstream"]["password"] = form["password"]
            elif form.texts("forget_password"):
                body["upstream"]["password"] = None
        match = {"if-match": form["etag"]} if form["etag"] else {}
        await visit.calls.ask("PATCH", ONE, body, match, **visit.place_of_repository)
        return Redirect(self._here(visit), "The settings were changed.")

    async def delete(self, visit: Visit) -> Redirect:
        """Delete one whose name was typed.

        Raises:
            RequestInvalid: another name was.
        """
        if visit.form.stripped("confirm") != visit.repository:
            raise RequestInvalid(f"type {visit.repository} to delete it - at `$.confirm`")
        is_forced = bool(visit.form.texts("force"))
        await visit.calls.delete(ONE, force=is_forced, **visit.place_of_repository)
        return Redirect("/admin/repositories", f"Repository {visit.repository} was deleted.")

    async def grant(self, visit: Visit) -> Redirect:
        """Give a role.

        Raises:
            RequestInvalid: nobody was named.
        """
        user = visit.form.stripped("user")
        if not user or "/" in user:
            raise RequestInvalid("name a user - at `$.user`")
        await visit.calls.put(
            f"{ONE}/grants/<username>",
            {"role": visit.form["role"]},
            username=user,
            **visit.place_of_repository,
        )
        return Redirect(self._here(visit), f"{user} has the role {visit.form['role']}.")

    async def revoke(self, visit: Visit) -> Redirect:
        """Take a role away."""
        user = visit.place["username"]
        await visit.calls.delete(
            f"{ONE}/grants/<username>", username=user, **visit.place_of_repository
        )
        is_own = user == visit.principal.name and not visit.is_administrator
        return Redirect("/" if is_own else self._here(visit), f"{user} has no role any more.")

    def _here(self, visit: Visit) -> str:
        return _link(visit.place["storage"], visit.place["name"])


def in_gib(size: int) -> str:
    """A number of GiB to be typed over; it is exactly `size` when it is read again."""
    return f"{size / GIB!r}".removesuffix(".0") if size else ""


def _rules(visit: Visit) -> dict[str, Any]:
    rules: dict[str, Any] = {"immutable_tags": visit.form["immutable_tags"].split()}
    if visit.is_administrator:
        rules["quota_bytes"] = visit.form.number("quota_bytes", GIB) or 0
    return rules


def _upstream(visit: Visit) -> dict[str, Any]:
    ttl = visit.form.number("tag_ttl_seconds")
    return {
        "url": visit.form.stripped("url"),
        "username": visit.form.stripped("username"),
        "tag_ttl_seconds": TTL_SECONDS if ttl is None else ttl,
        "offline": bool(visit.form.texts("offline")),
        "max_bytes": visit.form.number("max_bytes", GIB) or 0,
    }


def _link(storage: str, name: str) -> str:
    return f"/admin/repositories/{storage}/{name}"
