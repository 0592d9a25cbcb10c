"""Signing in and out, and the theme, which everybody may choose."""

import msgspec

from frontend.management.routing import Anybody, Visitor
from frontend.web.cookies import set_theme
from frontend.web.links import local_path
from frontend.web.page import Page, Redirect, Shown, Theme, Visit


class Back(msgspec.Struct, frozen=True):
    """Where to go afterwards."""

    next: str = ""


class SigningPages:
    """The handlers."""

    def pages(self) -> tuple[Page, ...]:
        """The pages, and who may see them."""
        return (
            Page(
                method="GET",
                path="/sign-in",
                access=Visitor(),
                handler=self.show,
                query=Back,
            ),
            Page(
                method="POST",
                path="/sign-in",
                access=Anybody(),
                handler=self.sign_in,
                again=self.show_again,
            ),
            Page(method="POST", path="/sign-out", access=Visitor(), handler=self.sign_out),
            Page(method="POST", path="/theme", access=Visitor(), handler=self.choose_theme),
        )

    async def show(self, visit: Visit) -> Shown | Redirect:
        """Show the form; who is signed in already goes on."""
        back = local_path(visit.query.next)
        if visit.is_signed_in:
            return Redirect(back)
        return Shown("sign_in.html", {"next": back})

    async def show_again(self, visit: Visit) -> Shown:
        """Show the form to who mistyped."""
        return Shown("sign_in.html", {"next": local_path(visit.form["next"])})

    async def sign_in(self, visit: Visit) -> Redirect:
        """Sign in."""
        body = {"username": visit.form.stripped("username"), "password": visit.form["password"]}
        reply = await visit.calls.ask("POST", "/api/v1/session", body)
        return Redirect(local_path(visit.form["next"]), headers=reply.headers)

    async def sign_out(self, visit: Visit) -> Redirect:
        """Sign out; who is out already just goes on."""
        if not visit.is_signed_in:
            return Redirect("/")
        reply = await visit.calls.ask("DELETE", "/api/v1/session")
        return Redirect("/", headers=reply.headers)

    async def choose_theme(self, visit: Visit) -> Redirect:
        """Remember the theme in this browser."""
        said = visit.form["theme"]
        theme: Theme = "light" if said == "light" else "dark" if said == "dark" else ""
        cookie = set_theme(theme, visit.client.realm)
        return Redirect(local_path(visit.form["next"]), headers=(cookie,))
