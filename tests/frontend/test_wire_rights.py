"""Who is let in to `/v2/`: every route, caller and credential. Hardening §2, "Rights"."""

import httpx
import pytest

from frontend.domain import routes
from tests.frontend.callers import ANONYMOUS_TOKEN, DEAD, NARROWED, NOBODIES, ROLES, WAYS, Callers
from tests.frontend.live import BASIC, digest_of
from tests.frontend.people import repository

CONTENT = b"for those who may"
DIGEST, ABSENT = digest_of(CONTENT), digest_of(b"nowhere")
PULL, PUSH, DELETE = "pull", "push", "delete"
READ = {"GET": PULL, "HEAD": PULL}

# Where each route of an image is, and what its methods need. The others have tests of their own.
ROWS = {
    routes.Discover: ("_oci/ext/discover", READ),
    routes.Blob: ("blobs/{digest}", READ | {"DELETE": DELETE}),
    routes.BlobUploads: ("blobs/uploads/", {"POST": PUSH}),
    routes.BlobUpload: (
        "blobs/uploads/none",
        dict.fromkeys(("GET", "HEAD", "PATCH", "PUT", "DELETE"), PUSH),
    ),
    routes.Manifest: ("manifests/{digest}", READ | {"PUT": PUSH, "DELETE": DELETE}),
    routes.Tags: ("tags/list", READ),
    routes.Referrers: ("referrers/{digest}", READ),
}
NAMELESS = {routes.Base, routes.Token, routes.Catalog}
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")

IN, HIDDEN = "let in", "404"
NOBODY = {PULL: ("401", IN, "401"), PUSH: ("401",) * 3, DELETE: ("401",) * 3}
REFUSED = dict.fromkeys((PULL, PUSH, DELETE), ("401",) * 3)
# Who has which role in the private place: (private, public, missing) for each action.
RIGHTS = {
    "stranger": {
        PULL: (HIDDEN, IN, HIDDEN),
        PUSH: (HIDDEN, "403", HIDDEN),
        DELETE: (HIDDEN, "403", HIDDEN),
    },
    "reader": {
        PULL: (IN, IN, HIDDEN),
        PUSH: ("403", "403", HIDDEN),
        DELETE: ("403", "403", HIDDEN),
    },
    "writer": {
        PULL: (IN, IN, HIDDEN),
        PUSH: (IN, "403", HIDDEN),
        DELETE: ("403", "403", HIDDEN),
    },
    "owner": {
        PULL: (IN, IN, HIDDEN),
        PUSH: (IN, "403", HIDDEN),
        DELETE: (IN, "403", HIDDEN),
    },
    "admin": dict.fromkeys((PULL, PUSH, DELETE), (IN, IN, HIDDEN)),
}
# An administrator's access token with scopes (tests.frontend.callers).
SCOPED = {
    "pull scope": RIGHTS["reader"],
    "push scope": RIGHTS["writer"],
    "delete scope": RIGHTS["admin"],
    "other scope": RIGHTS["stranger"],
}
TABLE = {
    **{(role, way): RIGHTS[role] for role in ROLES for way in WAYS},
    **dict.fromkeys((*NOBODIES, ANONYMOUS_TOKEN), NOBODY),
    **dict.fromkeys(DEAD, REFUSED),
    **SCOPED,
    "registry token without scope": REFUSED,
    "registry token to pull": REFUSED | {PULL: (IN, IN, HIDDEN)},
    "registry token to push": REFUSED | {PUSH: (IN, IN, HIDDEN)},
}


def test_every_route_has_its_row():
    assert {*ROWS, *NAMELESS} == set(routes.ROUTES)
    for kind, (_, methods) in ROWS.items():
        assert set(methods) == set(kind.methods)
    assert set(NARROWED) == set(SCOPED)


@pytest.fixture(scope="module")
def team(live):
    return repository(live)


@pytest.fixture(scope="module")
def images(live, team):
    """A private, a public and a missing image; the first two hold the same blob and manifest."""
    names = (f"{team}/app", live.image("local/public"), "local/nowhere/app")
    for name in names[:2]:
        live.push(name, CONTENT)
        live.client.put(
            f"/v2/{name}/manifests/t", content=CONTENT, headers={"Content-Type": "text/plain"}
        )
    return names


@pytest.fixture(scope="module")
def callers(live, team, images):
    scopes = tuple(f"repository:{name}:pull,push,delete" for name in images)
    callers = Callers(live, team, scopes)
    admin = callers.people["admin"]
    for kind, actions in (("without scope", ""), ("to pull", "pull"), ("to push", "push")):
        narrow = [f"repository:{name}:{actions}" for name in images]
        headers = {"Authorization": f"Bearer {admin.registry_token(*narrow)}"}
        callers.others[f"registry token {kind}"] = headers
    return callers


def headers_of(callers, who):
    return callers.known[who] if isinstance(who, tuple) else callers.others[who]


@pytest.mark.parametrize("who", TABLE, ids=str)
@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.__name__)
def test_a_route_lets_in_whoever_may_and_tells_nobody_else(live, images, callers, kind, who):
    place, methods = ROWS[kind]
    headers = {"Content-Type": "text/plain"} | dict(headers_of(callers, who))
    found, expected = {}, {}

    for method, action in methods.items():
        digest = ABSENT if action == DELETE else DIGEST
        for name, outcome in zip(images, TABLE[who][action], strict=True):
            answer = live.stranger.request(
                method,
                f"/v2/{name}/{place.format(digest=digest)}",
                headers=headers,
                content=CONTENT if method == "PUT" else b"",
            )
            found[method, name] = _outcome(answer, outcome)
            expected[method, name] = outcome

    if kind is routes.Referrers and _sees_all(who):
        # Never 404, the specification says; whoever sees all repositories learns nothing by it.
        expected["GET", images[2]] = expected["HEAD", images[2]] = IN
    assert found == expected


def _sees_all(who) -> bool:
    return (isinstance(who, tuple) and who[0] == "admin") or who == "registry token to pull"


def _outcome(answer: httpx.Response, expected: str) -> str:
    """How the door was: what is let in may still find nothing, under another code."""
    if answer.status_code in (401, 403):
        assert ("WWW-Authenticate" in answer.headers) == (answer.status_code == 401)
        return str(answer.status_code)
    if answer.status_code != 404:
        return IN
    if answer.request.method == "HEAD":  # no code tells them apart
        return expected
    return HIDDEN if answer.json()["errors"][0]["code"] == "NAME_UNKNOWN" else IN


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.__name__)
def test_no_page_of_another_site_changes_anything_by_a_session(live, images, callers, kind):
    place, methods = ROWS[kind]
    for headers in callers.unsafe_without_csrf():
        for method in (each for each in methods if each in UNSAFE):
            for name in images:
                path = f"/v2/{name}/{place.format(digest=DIGEST)}"
                assert live.stranger.request(method, path, headers=headers).status_code == 403


@pytest.mark.parametrize("who", [*NOBODIES, ANONYMOUS_TOKEN, *(("stranger", way) for way in WAYS)])
@pytest.mark.parametrize(
    "place", ["manifests/t", f"blobs/{DIGEST}", f"blobs/{ABSENT}", "tags/list"]
)
def test_a_private_image_reads_like_a_missing_one(live, images, callers, who, place):
    private, _, missing = images
    headers = headers_of(callers, who)

    answers = [live.stranger.get(f"/v2/{name}/{place}", headers=headers) for name in images]

    words = [
        (answer.status_code, answer.text, answer.headers.get("WWW-Authenticate", ""))
        for answer in (answers[0], answers[2])
    ]
    hidden = [
        tuple(
            str(part).replace(name, "NAME").replace(name.rpartition("/")[0], "PLACE")
            for part in said
        )
        for said, name in zip(words, (private, missing), strict=True)
    ]
    assert hidden[0] == hidden[1]


def test_the_base_and_the_catalog_are_for_who_has_an_account(live, images, callers):
    for who, headers in (*callers.known.items(), *callers.others.items()):
        base = live.stranger.get("/v2/", headers=headers).status_code
        catalog = live.stranger.get("/v2/_catalog", params={"n": 1000}, headers=headers)
        is_account = isinstance(who, tuple) or who in NARROWED or who.startswith("registry token")
        has_no_grants = who in NARROWED or (isinstance(who, tuple) and who[1] != "registry token")
        assert base == (200 if is_account else 401), who
        assert catalog.status_code == (200 if has_no_grants else 401), who
        if has_no_grants:
            names = catalog.json()["repositories"]
            assert (images[0] in names) == (TABLE[who][PULL][0] == IN), who
            assert images[1] in names


def test_head_has_no_body_wherever_it_is_answered(live, images):
    paths = ["/v2/", "/v2/token", "/v2/_catalog", "/healthz", "/readyz", "/api/v1/stats", "/none"]
    paths += [f"/v2/{images[0]}/{row[0].format(digest=DIGEST)}" for row in ROWS.values()]
    after = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    for path in paths:
        for line in ("", f"Authorization: {BASIC}\r\n"):
            received = live.exchange(
                f"HEAD {path} HTTP/1.1\r\nHost: x\r\n{line}\r\n".encode() + after
            )

            _, _, rest = received.partition(b"\r\n\r\n")
            assert rest.startswith(b"HTTP/1.1 200"), path
