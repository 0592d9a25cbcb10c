"""Who is let in to the management API: every route, caller and credential. Hardening §2, "Rights".

The table says by itself what each call needs; it is not made of the routes.
"""

import pytest

from frontend.management.routes import management_routes
from tests.frontend.callers import ANONYMOUS_TOKEN, DEAD, NARROWED, NOBODIES, ROLES, WAYS, Callers
from tests.frontend.people import repository

ANYBODY, VISITOR, ACCOUNT, DIRECT = "anybody", "visitor", "account", "direct"
OWN, OWN_DIRECT, ADMIN = "own", "own, directly", "admin"
SEE, DELETE, MANAGE = "pull", "delete", "admin of it"

R = "/api/v1/repositories/<storage>/<name>"
ROWS = {
    "GET /healthz": ANYBODY,
    "GET /readyz": ANYBODY,
    "GET /metrics": ACCOUNT,  # names of proxy repositories: test_metrics
    "GET /api/v1/openapi.json": ANYBODY,
    "POST /api/v1/session": ANYBODY,
    "GET /api/v1/session": ACCOUNT,
    "DELETE /api/v1/session": ACCOUNT,
    "GET /api/v1/sessions": DIRECT,
    "DELETE /api/v1/sessions/<id>": DIRECT,
    "GET /api/v1/users": ADMIN,
    "POST /api/v1/users": ADMIN,
    "GET /api/v1/users/<username>": OWN,
    "PATCH /api/v1/users/<username>": ADMIN,
    "DELETE /api/v1/users/<username>": ADMIN,
    "PUT /api/v1/users/<username>/password": OWN_DIRECT,
    "GET /api/v1/tokens": DIRECT,
    "POST /api/v1/tokens": DIRECT,
    "DELETE /api/v1/tokens/<id>": ACCOUNT,
    "GET /api/v1/storages": ADMIN,
    "POST /api/v1/storages": ADMIN,
    "GET /api/v1/storages/<storage>": ADMIN,
    "DELETE /api/v1/storages/<storage>": ADMIN,
    "GET /api/v1/repositories": VISITOR,
    "POST /api/v1/repositories": ADMIN,
    "GET /api/v1/search": VISITOR,
    f"GET {R}": SEE,
    f"PATCH {R}": MANAGE,
    f"DELETE {R}": ADMIN,
    f"DELETE {R}/packages": DELETE,
    f"GET {R}/packages": SEE,
    f"GET {R}/images": SEE,
    f"GET {R}/manifest": SEE,
    f"GET {R}/folder": SEE,
    f"GET {R}/grants": MANAGE,
    f"GET {R}/grants/<username>": MANAGE,
    f"PUT {R}/grants/<username>": MANAGE,
    f"DELETE {R}/grants/<username>": MANAGE,
    "GET /api/v1/journal": ADMIN,  # for a repository, its administrators: test_wire_journal
    "GET /api/v1/proxies": ADMIN,
    "GET /api/v1/stats": ADMIN,
    "GET /api/v1/transfers": ADMIN,
    "GET /api/v1/stats/growth": ADMIN,
    "POST /api/v1/fsck": ADMIN,
    "GET /api/v1/gc": ADMIN,
    "POST /api/v1/gc": ADMIN,
    "GET /api/v1/scrub": ADMIN,
    "POST /api/v1/scrub": ADMIN,
}

IN = "let in"
# A repository's calls by role: (private, public, missing).
_MEMBER = {
    SEE: {"stranger": ("404", IN, "404")} | dict.fromkeys(ROLES[1:], (IN, IN, "404")),
    DELETE: {
        "stranger": ("404", "403", "404"),
        "reader": ("403", "403", "404"),
        "writer": ("403", "403", "404"),
        "owner": (IN, "403", "404"),
        "admin": (IN, IN, "404"),
    },
}
_MEMBER[MANAGE] = _MEMBER[DELETE]
# The role that is left of an administrator whose access token has scopes.
_LEFT = {"pull scope": "reader", "push scope": "writer", "other scope": "stranger"}
_NARROW_MEMBER = {
    kind: {
        SEE: _MEMBER[SEE][_LEFT.get(kind, "admin")],
        DELETE: _MEMBER[DELETE][_LEFT.get(kind, "admin")],
        # No scope reaches settings and roles: known to be there, or not.
        MANAGE: ("404", "403", "404") if kind == "other scope" else ("403", "403", "404"),
    }
    for kind in NARROWED
}


def expected(need: str, who) -> tuple[str, ...]:
    """What the row needs, on this caller: for each of its places, or for one."""
    if need == ANYBODY:
        return (IN,)
    if need not in _MEMBER:
        return (_of_account(need, who),)
    if who in NOBODIES:
        return ("401", IN, "401") if need == SEE else ("401",) * 3
    refusal = _refusal(who)
    if refusal is not None:
        return (refusal,) * 3
    return _NARROW_MEMBER[who][need] if who in NARROWED else _MEMBER[need][who[0]]


def _refusal(who) -> str | None:
    """How credentials are refused that are no good here, whatever is called."""
    if who in DEAD:
        return "401"
    is_for_registry = who == ANONYMOUS_TOKEN or (isinstance(who, tuple) and who[1] == WAYS[3])
    return "403" if is_for_registry else None


def _of_account(need: str, who) -> str:
    """Calls of no repository; `own` ones are tried on another's."""
    if who in NOBODIES:
        return IN if need == VISITOR else "401"
    refusal = _refusal(who)
    if refusal is not None:
        return refusal
    is_narrowed = who in NARROWED
    is_admin = not is_narrowed and who[0] == "admin"
    is_direct = not is_narrowed and who[1] in ("password", "session")
    return {
        VISITOR: IN,
        ACCOUNT: IN,
        DIRECT: IN if is_direct else "403",
        OWN: IN if is_admin else "403",
        OWN_DIRECT: IN if is_admin and is_direct else "403",
        ADMIN: IN if is_admin else "403",
    }[need]


ALL = [
    *((role, way) for role in ROLES for way in WAYS),
    *NOBODIES,
    ANONYMOUS_TOKEN,
    *DEAD,
    *NARROWED,
]


@pytest.fixture(scope="module")
def team(live):
    return repository(live)


@pytest.fixture(scope="module")
def callers(live, team):
    return Callers(live, team, (f"repository:{team}/app:pull,push,delete",))


def test_every_route_has_its_row(live):
    assert {route.name for route in management_routes(live.registry)} == set(ROWS)


@pytest.mark.parametrize("who", ALL, ids=str)
@pytest.mark.parametrize("name", ROWS)
def test_a_call_lets_in_whoever_may(live, team, callers, name, who):
    method, path = name.split(" ")
    headers = dict(callers.known[who] if isinstance(who, tuple) else callers.others[who])
    places = (team, "local/public", "local/nowhere") if ROWS[name] in _MEMBER else (team,)

    found = [ask(live, method, filled(path, place), headers) for place in places]

    assert tuple(found) == expected(ROWS[name], who)


def filled(path: str, place: str) -> str:
    storage, _, repository = place.partition("/")
    named = path.replace("<storage>", storage).replace("<name>", repository)
    return named.replace("<username>", "nobody-here").replace("<id>", "none")


def ask(live, method: str, path: str, headers: dict[str, str]) -> str:
    """How the door was. A body that is none is refused after it: so nothing is changed."""
    if path == "/api/v1/session" and method == "DELETE":
        headers.pop("X-CSRF-Token", None)  # it would end the session of the tests that follow
        if "Cookie" in headers:
            return IN if live.stranger.get(path, headers=headers).status_code == 200 else "401"
    content = b"[]" if method in ("POST", "PUT", "PATCH", "DELETE") else b""
    query = {"force": "perhaps"} if method == "DELETE" else {}
    answer = live.stranger.request(method, path, headers=headers, content=content, params=query)
    if answer.status_code in (401, 403):
        assert ("WWW-Authenticate" in answer.headers) == (answer.status_code == 401)
        return str(answer.status_code)
    is_hidden = answer.status_code == 404 and "that you may use" in answer.text
    return "404" if is_hidden else IN


@pytest.mark.parametrize("name", [name for name in ROWS if not name.startswith("GET")])
def test_no_page_of_another_site_changes_anything_by_a_session(live, team, callers, name):
    method, path = name.split(" ")
    for headers in callers.unsafe_without_csrf():
        answer = live.stranger.request(method, filled(path, team), headers=headers, content=b"[]")
        # To sign in needs no session: what another site may not do there is said by Origin alone.
        is_sign_in = name == "POST /api/v1/session"
        assert answer.status_code == (400 if is_sign_in else 403)
