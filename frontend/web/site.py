"""The site: gives visitors their pages, and a page to whoever may not have the one he wants.

A browser is told of an error in a page, a program by a problem (`frontend.management.problems`).
Who is to sign in is sent there, and comes back.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

import trio
from quart import Quart, Response as QuartResponse, request
from werkzeug.exceptions import NotFound as PathUnknown
from werkzeug.routing import BaseConverter

from frontend.access.accounts import of_session
from frontend.access.sessions import cookie_of, csrf_token, is_csrf_token
from frontend.domain.faults import CsrfFailed, RequestInvalid, Unauthorized
from frontend.domain.message import ANONYMOUS, Client, Principal, Response
from frontend.management.problems import KNOWN_PROBLEMS, problem_response, problem_words
from frontend.management.routing import (
    ADMITTED,
    GONE,
    Admitted,
    Anybody,
    Visitor,
    read_query,
)
from frontend.registry.call import Registry
from frontend.web import cookies
from frontend.web.answers import HTML, PRIVATE, Made, make, make_redirect
from frontend.web.calls import Calls, Desk
from frontend.web.forms import CSRF_FIELD, FORM_TYPE, Form, Refusal
from frontend.web.links import sign_in_link
from frontend.web.page import Answer, Page, Redirect, Sent, Shown, Visit
from frontend.web.rendering import render

_PROGRAMS: Final = ("/api/", "/v2", "/healthz", "/readyz", "/metrics", "/static/")  # no pages there


class ImagePath(BaseConverter):
    """`<image:image>`: a path of an image. No reference has begun: those begin with `:` or `@`."""

    regex = r"[a-z0-9](?:[a-z0-9._/-]*[a-z0-9])?"
    part_isolating = False


class FolderPath(ImagePath):
    """`<folder:folder>`: the same with a slash at its end, which is taken off."""

    regex = ImagePath.regex + "/"

    def to_python(self, value: str) -> str:
        """The path alone."""
        return value.removesuffix("/")


class Site:
    """All pages of a registry."""

    def __init__(self, registry: Registry, desk: Desk) -> None:
        self._registry = registry
        self._desk = desk

    def register(self, app: Quart, pages: Sequence[Page]) -> None:
        """Add `pages` to `app`; the door has admitted whoever comes through them."""
        for page in pages:
            app.add_url_rule(page.path, page.name, self._view(page), methods=[page.method])

    def refusal(
        self, error: Exception, scope: Mapping[str, Any], headers: Mapping[str, str], client: Client
    ) -> Response:
        """Answer any error of the door or of a handler."""
        method = scope["method"]
        if not _is_browser(scope["path"], headers):
            return problem_response(error, client.realm, method)
        said = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        visit = replace(self._visit(scope, headers, client), said=said)
        made = self._error(error, visit, method)
        return Response(made.status, made.headers, () if method == "HEAD" else (made.content,))

    # --- pages ---

    def _view(self, page: Page) -> Callable[..., Awaitable[QuartResponse]]:
        async def view(**place: str) -> QuartResponse:
            who: Admitted = request.scope["state"][ADMITTED]
            visit = self._visit(request.scope, who.headers, who.client, who.principal, place)
            visit = _with_query(page, visit)
            if page.method == "POST":
                visit = replace(visit, form=await _form(visit))
            made = await self._answer(page, visit)
            answer = QuartResponse(made.content, made.status)
            answer.headers.clear()  # a type and a length, which are among ours
            for name, value in made.headers:
                answer.headers.add(name, value)
            return answer

        return view

    async def _answer(self, page: Page, visit: Visit) -> Made:
        try:
            answer = await page.handler(visit)
        except KNOWN_PROBLEMS as error:
            # Whose form was refused has it back, with what he typed; but who has to sign in first.
            if page.again is None or isinstance(error, CsrfFailed) or _must_sign_in(page, error):
                raise
            status, detail, kept = problem_words(error, visit.client.realm)
            visit = replace(visit, refusal=Refusal.of(visit.path, int(status), detail))
            again = await page.again(visit)
            if isinstance(again, Shown):
                again = replace(again, status=int(status), headers=(*again.headers, *kept))
            answer = again
        return self._made(answer, visit)

    def _made(self, answer: Answer, visit: Visit) -> Made:
        realm, cookie = visit.client.realm, visit.headers.get("cookie", "")
        accepts = visit.headers.get("accept-encoding", "")
        if isinstance(answer, Sent):
            return make(200, answer.content, accepts, *answer.headers, kind=answer.kind)
        if isinstance(answer, Redirect):
            said = (cookies.set_flash(answer.flash, cookie, realm),) if answer.flash else ()
            return make_redirect(answer.to, *said, *answer.headers)
        content = render(answer.template, visit, **answer.values)
        heard = (cookies.drop_flash(realm),) if cookies.find(cookie, cookies.FLASH) else ()
        return make(answer.status, content, accepts, PRIVATE, *heard, *answer.headers, kind=HTML)

    def _visit(
        self,
        scope: Mapping[str, Any],
        headers: Mapping[str, str],
        client: Client,
        principal: Principal | None = None,
        place: Mapping[str, str] | None = None,
    ) -> Visit:
        cookie = headers.get("cookie", "")
        if principal is None:
            principal = self._recognised(cookie)
        is_session = principal.via.startswith("session:")
        gone = scope.get("state", {}).get(GONE, trio.sleep_forever)
        return Visit(
            principal=principal,
            client=client,
            calls=Calls(self._desk, principal, client, gone, headers),
            path=scope["path"],
            place=place or {},
            headers=headers,
            csrf=csrf_token(cookie_of(cookie)) if is_session else "",
            theme=cookies.theme_of(cookie),
            flash=cookies.flash_of(cookie),
            now=time.time(),
        )

    def _recognised(self, cookie: str) -> Principal:
        """Whoever has the session, for the head of an error page: the door did not say."""
        look = partial(of_session, cookie=cookie_of(cookie), now=time.time())
        found = self._registry.store.read(look) if cookie else None
        return ANONYMOUS if found is None else found[0]

    # --- errors ---

    def _error(self, error: Exception, visit: Visit, method: str) -> Made:
        if isinstance(error, Unauthorized) and not visit.is_signed_in:
            return make_redirect(sign_in_link(visit.here if method in ("GET", "HEAD") else "/"))
        status, detail, kept = problem_words(error, visit.client.realm)
        values = {"status": int(status), "title": _title(status), "detail": _detail(error, detail)}
        content = render("error.html", visit, **values)
        accepts = visit.headers.get("accept-encoding", "")
        return make(int(status), content, accepts, PRIVATE, *kept)


def _is_browser(path: str, headers: Mapping[str, str]) -> bool:
    return "text/html" in headers.get("accept", "") and not path.startswith(_PROGRAMS)


def _must_sign_in(page: Page, error: Exception) -> bool:
    """Whether nobody is there who could be shown the form again."""
    is_for_accounts = not isinstance(page.access, Anybody | Visitor)
    return isinstance(error, Unauthorized) and is_for_accounts


def _with_query(page: Page, visit: Visit) -> Visit:
    """The visit with its query; parameters that the page does not know are nobody's fault."""
    if page.query is None:
        return visit
    known = page.query.__struct_encode_fields__
    said = {name: value for name, value in request.args.items() if name in known and value}
    return replace(visit, said=said, query=read_query(page.query, said))


async def _form(visit: Visit) -> Form:
    """The form that was sent; the one place where its token is checked.

    Raises:
        CsrfFailed: it does not come from a page of the session. Other credentials have no forms.
        RequestInvalid
    """
    content = await request.get_data(as_text=False)
    kind = visit.headers.get("content-type", "").partition(";")[0].strip()
    if content and kind != FORM_TYPE:
        raise RequestInvalid(f"a form is sent as {FORM_TYPE}")
    form = Form.parse(content if isinstance(content, bytes) else content.encode())
    if visit.is_signed_in:
        cookie = cookie_of(visit.headers.get("cookie", ""))
        if not visit.csrf or not is_csrf_token(cookie, form[CSRF_FIELD]):
            raise CsrfFailed
    return form


def _detail(error: Exception, detail: str) -> str:
    """What went wrong, for people: some of the API's words are for programs."""
    if isinstance(error, CsrfFailed):
        return "The form was not sent by a page of your session: open the page again, then send it."
    return "There is no page at this address." if isinstance(error, PathUnknown) else detail


def _title(status: HTTPStatus) -> str:
    return {
        HTTPStatus.NOT_FOUND: "There is nothing here",
        HTTPStatus.FORBIDDEN: "You may not do this",
        HTTPStatus.BAD_REQUEST: "That could not be understood",
        HTTPStatus.CONFLICT: "That does not go together with what is there",
        HTTPStatus.TOO_MANY_REQUESTS: "Too many requests",
        HTTPStatus.SERVICE_UNAVAILABLE: "The server cannot do this now",
        HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong in the server",
    }.get(status, status.phrase)
