"""Who is let in: every route, by every kind of credentials. Hardening §2, "Rights"."""

import base64

import httpx
import pytest

from frontend.access.passwords import hash_password
from frontend.access.users import User, put
from frontend.domain import routes
from tests.frontend.live import BASIC, digest_of

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

IN, HIDDEN = "let in", "404"
NOBODY = {PULL: ("401", IN, "401"), PUSH: ("401",) * 3, DELETE: ("401",) * 3}
REFUSED = {PULL: ("401",) * 3, PUSH: ("401",) * 3, DELETE: ("401",) * 3}
# (private, public, missing) for each action
RIGHTS = {
    "anonymous": NOBODY,
    "anonymous token": NOBODY,
    "empty password": NOBODY,
    "wrong password": REFUSED,
    "unknown user": REFUSED,
    "tampered token": REFUSED,
    "token without scope": REFUSED,
    "pull token": REFUSED | {PULL: (IN, IN, HIDDEN)},
    "push token": REFUSED | {PUSH: (IN, IN, HIDDEN)},
    "stranger": {
        PULL: (HIDDEN, IN, HIDDEN),
        PUSH: (HIDDEN, "403", HIDDEN),
        DELETE: (HIDDEN, "403", HIDDEN),
    },
    "stranger token": {
        PULL: (HIDDEN, IN, HIDDEN),
        PUSH: (HIDDEN, "403", HIDDEN),
        DELETE: (HIDDEN, "403", HIDDEN),
    },
    "admin": dict.fromkeys((PULL, PUSH, DELETE), (IN, IN, HIDDEN)),
    "admin token": dict.fromkeys((PULL, PUSH, DELETE), (IN, IN, HIDDEN)),
}


def test_every_route_has_its_row():
    assert {*ROWS, *NAMELESS} == set(routes.ROUTES)
    for kind, (_, methods) in ROWS.items():
        assert set(methods) == set(kind.methods)


@pytest.fixture(scope="module")
def images(live):
    """A private, a public and a missing image; the first two hold the same blob and manifest."""
    names = (live.image(), live.image("local/public"), live.image("local/nowhere"))
    for name in names[:2]:
        live.push(name, CONTENT)
        live.client.put(
            f"/v2/{name}/manifests/t", content=CONTENT, headers={"Content-Type": "text/plain"}
        )
    return names


@pytest.fixture(scope="module")
def credentials(live, images):
    user = User(hash=hash_password("hers"), epoch=1)
    live.run(live.registry.store.commit, [put("stranger", user)])

    def token(basic: str | None, actions: str) -> str:
        scopes = [f"repository:{name}:{actions}" for name in images]
        headers = {} if basic is None else {"Authorization": basic}
        answer = live.stranger.get("/v2/token", params={"scope": scopes}, headers=headers)
        return f"Bearer {answer.json()['token']}"

    full = token(BASIC, "*")
    return {
        "anonymous": None,
        "anonymous token": token(None, "*"),
        "empty password": basic_of("", ""),
        "wrong password": basic_of("admin", "wrong"),
        "unknown user": basic_of("nobody", "wrong"),
        "tampered token": full[:-1] + ("A" if full[-1] != "A" else "Q"),
        "token without scope": token(BASIC, ""),
        "pull token": token(BASIC, "pull"),
        "push token": token(BASIC, "push"),
        "stranger": basic_of("stranger", "hers"),
        "stranger token": token(basic_of("stranger", "hers"), "*"),
        "admin": BASIC,
        "admin token": full,
    }


def basic_of(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("who", RIGHTS)
@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.__name__)
def test_a_route_lets_in_whoever_may_and_tells_nobody_else(live, images, credentials, kind, who):
    place, methods = ROWS[kind]
    headers = {"Content-Type": "text/plain"}
    if credentials[who] is not None:
        headers["Authorization"] = credentials[who]
    found, expected = {}, {}

    for method, action in methods.items():
        digest = ABSENT if action == DELETE else DIGEST
        for name, outcome in zip(images, RIGHTS[who][action], strict=True):
            answer = live.stranger.request(
                method,
                f"/v2/{name}/{place.format(digest=digest)}",
                headers=headers,
                content=CONTENT if method == "PUT" else b"",
            )
            found[method, name] = _outcome(answer, outcome)
            expected[method, name] = outcome

    if kind is routes.Referrers and who in ("admin", "admin token", "pull token"):
        # Never 404, the specification says; whoever sees all repositories learns nothing by it.
        expected["GET", images[2]] = expected["HEAD", images[2]] = IN
    assert found == expected


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


@pytest.mark.parametrize("who", ["anonymous", "anonymous token", "stranger", "stranger token"])
@pytest.mark.parametrize(
    "place", ["manifests/t", f"blobs/{DIGEST}", f"blobs/{ABSENT}", "tags/list"]
)
def test_a_private_image_reads_like_a_missing_one(live, images, credentials, who, place):
    private, _, missing = images
    headers = {"Authorization": credentials[who]} if credentials[who] else {}

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
