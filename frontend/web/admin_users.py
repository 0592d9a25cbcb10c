"""Administration of accounts: who is there, with which role, and who is let in."""

from typing import Any, Final

from frontend.domain.faults import RequestInvalid
from frontend.management.routing import Admin, Paging
from frontend.management.sessions import SessionPage
from frontend.management.tokens import TokenPage
from frontend.management.users import UserPage, UserShown
from frontend.web.page import Page, Redirect, Shown, Visit

PER_PAGE: Final = 50
USERS: Final = "/admin/users"
ONE: Final = "/api/v1/users/<username>"
ROLES: Final = (
    ("user", "user: what is granted"),
    ("admin", "admin: everything in this registry"),
)
# Of which field the API's words are, where they do not say so themselves.
_FIELDS: Final = (
    ("a user name", "username"),
    ("user ", "username"),
    ("a password", "password"),
    ("the current password", "current_password"),
    ("to change your own password", "current_password"),
)


class AdminUserPages:
    """The handlers."""

    def pages(self) -> tuple[Page, ...]:
        """The pages, and who may see them."""
        access, one = Admin("administer users"), f"{USERS}/<username>"
        return (
            Page(method="GET", path=USERS, access=access, handler=self.list, query=Paging),
            Page(method="POST", path=USERS, access=access, handler=self.create, again=self.list),
            Page(method="GET", path=one, access=access, handler=self.show),
            Page(
                method="POST",
                path=f"{one}/settings",
                access=access,
                handler=self.change,
                again=self.show,
            ),
            Page(
                method="POST",
                path=f"{one}/password",
                access=access,
                handler=self.set_password,
                again=self.show,
            ),
            Page(
                method="POST",
                path=f"{one}/tokens/<id>/revoke",
                access=access,
                handler=self.revoke_token,
            ),
            Page(
                method="POST",
                path=f"{one}/sessions/<id>/end",
                access=access,
                handler=self.end_session,
            ),
            Page(
                method="POST",
                path=f"{one}/delete",
                access=access,
                handler=self.delete,
                again=self.show,
            ),
        )

    async def list(self, visit: Visit) -> Shown:
        """Show all of them, and the form for a new one."""
        page = 1 if visit.query is None else visit.query.page
        found: UserPage = await visit.calls.get("/api/v1/users", page=page, per_page=PER_PAGE)
        values = {"found": found, "typed": visit.placed(_FIELDS).typed(USERS), "roles": ROLES}
        return Shown("admin_users.html", values)

    async def create(self, visit: Visit) -> Redirect:
        """Make one."""
        form = visit.form
        body = {
            "username": form.stripped("username"),
            "password": form["password"],
            "role": form["role"],
        }
        made: UserShown = await visit.calls.post("/api/v1/users", body)
        return Redirect(USERS, f"{made.username} can sign in now.")

    async def show(self, visit: Visit) -> Shown:
        """Show one, with all that can be done to him."""
        reply = await visit.calls.ask("GET", ONE, username=visit.place["username"])
        found: UserShown = reply.value
        tokens: TokenPage = await visit.calls.get(
            "/api/v1/tokens", username=found.username, per_page=PER_PAGE
        )
        sessions: SessionPage = await visit.calls.get(
            "/api/v1/sessions", username=found.username, per_page=PER_PAGE
        )
        link = f"{USERS}/{found.username}"
        visit = visit.placed(_FIELDS)
        values: dict[str, Any] = {
            "found": found,
            "tokens": tokens,
            "sessions": sessions,
            "etag": dict(reply.headers).get("ETag", ""),
            "link": link,
            "roles": ROLES,
            "settings": visit.typed(f"{link}/settings"),
            "password": visit.typed(f"{link}/password"),
            "deleting": visit.typed(f"{link}/delete"),
            "is_own": found.username == visit.principal.name,
        }
        return Shown("admin_user.html", values)

    async def change(self, visit: Visit) -> Redirect:
        """Change the role, and whether he is let in."""
        form = visit.form
        body = {"role": form["role"], "disabled": bool(form.texts("disabled"))}
        match = {"if-match": form["etag"]} if form["etag"] else {}
        name = visit.place["username"]
        await visit.calls.ask("PATCH", ONE, body, match, username=name)
        return Redirect(USERS, f"{name} was changed.")

    async def set_password(self, visit: Visit) -> Redirect:
        """Give somebody another password; one's own needs the current one."""
        name = visit.place["username"]
        body: dict[str, Any] = {"password": visit.form["password"]}
        if name == visit.principal.name:
            body["current_password"] = visit.form["current_password"]
        await visit.calls.put(f"{ONE}/password", body, username=name)
        return Redirect(USERS, f"{name} has another password, and is signed out everywhere else.")

    async def revoke_token(self, visit: Visit) -> Redirect:
        """Revoke a token of somebody."""
        await visit.calls.delete("/api/v1/tokens/<id>", id=visit.place["id"])
        return Redirect(f"{USERS}/{visit.place['username']}", "The token was revoked.")

    async def end_session(self, visit: Visit) -> Redirect:
        """Sign a browser of somebody out."""
        await visit.calls.delete("/api/v1/sessions/<id>", id=visit.place["id"])
        return Redirect(f"{USERS}/{visit.place['username']}", "The session was ended.")

    async def delete(self, visit: Visit) -> Redirect:
        """Delete somebody whose name was typed.

        Raises:
            RequestInvalid: another name was.
        """
        name = visit.place["username"]
        if visit.form.stripped("confirm") != name:
            raise RequestInvalid(f"type {name} to delete the account - at `$.confirm`")
        await visit.calls.delete(ONE, username=name)
        return Redirect(USERS, f"{name} was deleted.")
