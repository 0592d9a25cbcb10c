"""Who may see which page, and send which form. Hardening §2, "Rights" and "Browser".

The table says by itself what each page needs; it is not made of the pages. Another room adds rows.
"""

import httpx
import pytest

from frontend.web.pages import web_pages
from tests.web.visitors import ROLES

ANYBODY, ACCOUNT, ADMIN = "anybody", "account", "admin"
SEE, DELETE, MANAGE = "pull", "delete", "admin of it"

ROWS = {
    "GET /": ANYBODY,
    "GET /static/<file>": ANYBODY,
    "GET /search": ANYBODY,
    "GET /r/<storage>/<name>/<image:image>:<tag>": SEE,
    "GET /r/<storage>/<name>/<image:image>@<digest>": SEE,
    "GET /admin/repositories/<storage>/<name>/packages": DELETE,
    "POST /admin/repositories/<storage>/<name>/packages/confirm": DELETE,
    "POST /admin/repositories/<storage>/<name>/packages/delete": DELETE,
    "POST /admin/repositories/<storage>/<name>/packages/purge": DELETE,
    "GET /sign-in": ANYBODY,
    "POST /sign-in": ANYBODY,
    "POST /sign-out": ANYBODY,
    "POST /theme": ANYBODY,
    "GET /r/<storage>/<name>": SEE,
    "GET /r/<storage>/<name>/<folder:folder>": SEE,
    "GET /r/<storage>/<name>/<image:image>": SEE,
    "GET /account": ACCOUNT,
    "POST /account/password": ACCOUNT,
    "POST /account/tokens": ACCOUNT,
    "POST /account/tokens/<id>/revoke": ACCOUNT,
    "POST /account/sessions/<id>/end": ACCOUNT,
    "GET /connect": ANYBODY,
    "GET /admin": ADMIN,
    "GET /admin/repositories": ADMIN,
    "GET /admin/repositories/new": ADMIN,
    "POST /admin/repositories": ADMIN,
    "GET /admin/repositories/<storage>/<name>": MANAGE,
    "POST /admin/repositories/<storage>/<name>/settings": MANAGE,
    "POST /admin/repositories/<storage>/<name>/delete": ADMIN,
    "POST /admin/repositories/<storage>/<name>/grants": MANAGE,
    "POST /admin/repositories/<storage>/<name>/grants/<username>/revoke": MANAGE,
    "GET /admin/repositories/<storage>/<name>/activity": MANAGE,
    "GET /admin/activity": ADMIN,
    "POST /admin/users/<username>/tokens/<id>/revoke": ADMIN,
    "POST /admin/users/<username>/sessions/<id>/end": ADMIN,
    "GET /admin/proxies": ADMIN,
    "GET /admin/storage": ADMIN,
    "POST /admin/storage/collect": ADMIN,
    "POST /admin/storage/scrub": ADMIN,
    "POST /admin/storage/check": ADMIN,
    "GET /admin/transfers": ADMIN,
    "POST /admin/storages": ADMIN,
    "POST /admin/storages/<storage>/delete": ADMIN,
    "GET /admin/users": ADMIN,
    "POST /admin/users": ADMIN,
    "GET /admin/users/<username>": ADMIN,
    "POST /admin/users/<username>/settings": ADMIN,
    "POST /admin/users/<username>/password": ADMIN,
    "POST /admin/users/<username>/delete": ADMIN,
}

IN, SIGN_IN = "let in", "sign in"
_ON_REPOSITORY = (SEE, DELETE, MANAGE)
# By role: what happens at a private, a public and a missing repository.
_SEE = {
    "anonymous": (SIGN_IN, IN, SIGN_IN),
    "stranger": ("404", IN, "404"),
    "reader": (IN, IN, "404"),
    "owner": (IN, IN, "404"),
    "admin": (IN, IN, "404"),
}
_MANAGE = {
    "anonymous": (SIGN_IN,) * 3,
    "stranger": ("404", "403", "404"),
    "reader": ("403", "403", "404"),
    "owner": (IN, "403", "404"),
    "admin": (IN, IN, "404"),
}


def expected(need: str, role: str) -> tuple[str, ...]:
    if need == SEE:
        return _SEE[role]
    if need in _ON_REPOSITORY:
        return _MANAGE[role]
    if need == ANYBODY:
        return (IN,)
    if role == "anonymous":
        return (SIGN_IN,)
    return (IN if need == ACCOUNT or role == "admin" else "403",)


def test_every_page_has_its_row(live):
    assert {page.name for page in web_pages(live.registry)} == set(ROWS)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", ROWS)
def test_a_page_lets_in_whoever_may(visitors, team, name, role):
    method, path = name.split(" ")
    places = (team, "local/public", "local/nowhere") if ROWS[name] in _ON_REPOSITORY else (team,)

    found = [outcome(ask(visitors[role], method, filled(path, place))) for place in places]

    assert tuple(found) == expected(ROWS[name], role)


@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("POST")])
def test_a_form_without_the_token_of_its_session_changes_nothing(visitors, team, name):
    path = filled(name.partition(" ")[2], team)
    for fields in ({}, {"csrf": "0" * 64}):
        answer = visitors["admin"].client.post(path, data=fields)

        is_sign_in = path == "/sign-in"  # it has no session yet
        assert answer.status_code == (401 if is_sign_in else 403)


@pytest.mark.parametrize("role", ["anonymous", "admin"])
@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("POST")])
def test_a_page_of_another_site_sends_no_form(visitors, team, name, role):
    visitor, path = visitors[role], filled(name.partition(" ")[2], team)
    fields = {"csrf": visitor.csrf, "username": "x", "password": "y"}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.invalid"}):
        answer = visitor.client.post(path, data=fields, headers=headers)

        assert answer.status_code == 403


def filled(path: str, place: str) -> str:
    storage, _, repository = place.partition("/")
    named = path.replace("<storage>", storage).replace("<name>", repository)
    named = named.replace("<image:image>", "app").replace("<folder:folder>", "team/")
    named = named.replace("<tag>", "v1").replace("<digest>", "sha256:" + "0" * 64)
    named = named.replace("<username>", "nobody-here").replace("<number>", "1")
    return named.replace("<id>", "none").replace("<file>", "none")


def ask(visitor, method: str, path: str) -> httpx.Response:
    """Ask at the door; a form has its token and nothing else, so that it changes nothing."""
    if method == "GET":
        return visitor.get(path)
    if path == "/sign-out" and visitor.who is not None:
        return visitor.get("/account")  # it would end the session of the tests that follow
    return visitor.send(path)


def outcome(answer: httpx.Response) -> str:
    assert answer.status_code < 500, answer.text
    if answer.status_code == 303 and answer.headers["Location"].startswith("/sign-in"):
        return SIGN_IN
    if answer.status_code == 403 and "<h1>You may not do this" in answer.text:
        return "403"
    is_hidden = answer.status_code == 404 and "that you may use" in answer.text
    return "404" if is_hidden else IN
