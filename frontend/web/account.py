"""The account's own page: its password, its access tokens and the browsers it is signed in with."""

from typing import Any, Final

from frontend.management.routing import Account, Paging
from frontend.management.sessions import SessionPage
from frontend.management.tokens import TokenMade, TokenPage
from frontend.web.page import Page, Redirect, Shown, Visit

PER_PAGE: Final = 50
ALL: Final = "all"
DAY: Final = 86400  # seconds
LIFETIMES: Final = (
    ("7", "7 days"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "a year"),
    ("", "never"),
)
RIGHTS: Final = (
    ("pull", "pull"),
    ("pull push", "pull and push"),
    ("pull push delete", "pull, push and delete"),
    (ALL, "all that this account may, also manage"),
)


class AccountPages:
    """The handlers."""

    def pages(self) -> tuple[Page, ...]:
        """The pages, and who may see them."""
        direct = Account(is_direct=True)
        return (
            Page(method="GET", path="/account", access=direct, handler=self.show, query=Paging),
            Page(
                method="POST",
                path="/account/password",
                access=direct,
                handler=self.set_password,
                again=self.show,
            ),
            Page(
                method="POST",
                path="/account/tokens",
                access=direct,
                handler=self.make_token,
                again=self.show,
            ),
            Page(
                method="POST",
                path="/account/tokens/<id>/revoke",
                access=direct,
                handler=self.revoke_token,
            ),
            Page(
                method="POST",
                path="/account/sessions/<id>/end",
                access=direct,
                handler=self.end_session,
            ),
        )

    async def show(self, visit: Visit, made: TokenMade | None = None) -> Shown:
        """Show the account; `made` is a token to be shown this once."""
        page = 1 if visit.query is None else visit.query.page
        tokens: TokenPage = await visit.calls.get("/api/v1/tokens", page=page, per_page=PER_PAGE)
        sessions: SessionPage = await visit.calls.get("/api/v1/sessions", per_page=PER_PAGE)
        values: dict[str, Any] = {
            "tokens": tokens,
            "sessions": sessions,
            "made": made,
            "lifetimes": LIFETIMES,
            "rights": RIGHTS,
        }
        return Shown("account.html", values)

    async def set_password(self, visit: Visit) -> Redirect:
        """Change the password."""
        await visit.calls.put(
            "/api/v1/users/<username>/password",
            {
                "password": visit.form["new_password"],
                "current_password": visit.form["current_password"],
            },
            username=visit.principal.name,
        )
        return Redirect("/account", "The password was changed; other browsers were signed out.")

    async def make_token(self, visit: Visit) -> Shown:
        """Make a token, and show it: no redirect, which would have to carry it along."""
        days = visit.form.number("days")
        body = {
            "name": visit.form.stripped("name"),
            "expires_in_seconds": None if days is None else days * DAY,
            "scopes": _scopes(visit),
        }
        made: TokenMade = await visit.calls.post("/api/v1/tokens", body)
        return await self.show(visit, made)

    async def revoke_token(self, visit: Visit) -> Redirect:
        """Revoke a token."""
        await visit.calls.delete("/api/v1/tokens/<id>", id=visit.place["id"])
        return Redirect("/account", "The token was revoked.")

    async def end_session(self, visit: Visit) -> Redirect:
        """End a session; of this browser's own, that is to sign out."""
        await visit.calls.delete("/api/v1/sessions/<id>", id=visit.place["id"])
        is_own = visit.principal.via == f"session:{visit.place['id']}"
        return Redirect("/" if is_own else "/account", "" if is_own else "The session was ended.")


def _scopes(visit: Visit) -> list[dict[str, Any]] | None:
    """What the form narrows a token to; None: to nothing less than the account."""
    rights, places = visit.form["rights"], visit.form["repositories"].split()
    if rights == ALL and not places:
        return None
    actions = RIGHTS[-2][0].split() if rights == ALL else rights.split()
    return [{"repository": each, "actions": actions} for each in places or ["*"]]
