"""`/v2/token`: GET and POST, refresh tokens, what they say and what they are good for."""

import pytest

from cas.errors import DaemonAway, StorageFull
from index.errors import NoSpace, WriterBusy
from tests.frontend.live import codes, digest_of
from tests.frontend.people import bearer, person, repository

CONTENT = b"behind the token endpoint"


@pytest.fixture(scope="module")
def owner(live):
    return person(live)


@pytest.fixture(scope="module")
def place(live, owner):
    name = repository(live)
    live.push(f"{name}/app", CONTENT)
    owner.grant(name, "writer")
    return name


def post(live, **form):
    return live.stranger.post("/v2/token", data={"service": "s", "client_id": "test"} | form)


def test_a_form_with_a_password_gets_a_token(live, owner, place):
    scope = f"repository:{place}/app:pull repository:{place}/other:push"
    form = {"username": owner.name, "password": owner.password, "scope": scope}

    answer = post(live, grant_type="password", **form)

    body = answer.json()
    assert answer.status_code == 200
    assert body["access_token"] == body["token"]
    assert body["expires_in"] >= 60
    assert body["scope"] == scope
    assert "refresh_token" not in body
    got = live.stranger.get(
        f"/v2/{place}/app/blobs/{digest_of(CONTENT)}", headers=bearer(body["token"])
    )
    assert got.content == CONTENT


def test_a_login_that_is_to_last_gets_a_refresh_token_and_tokens_by_it(live, owner, place):
    scope = f"repository:{place}/app:pull"
    form = {"username": owner.name, "password": owner.password, "access_type": "offline"}
    refresh = post(live, grant_type="password", **form).json()["refresh_token"]

    answer = post(live, grant_type="refresh_token", refresh_token=refresh, scope=scope)

    token = answer.json()["access_token"]
    path = f"/v2/{place}/app/blobs/{digest_of(CONTENT)}"
    assert live.stranger.get(path, headers=bearer(token)).content == CONTENT
    listed = owner.ask("GET", "/api/v1/tokens").json()["items"]
    mine = [each for each in listed if each["kind"] == "refresh"]
    assert {each["name"] for each in mine} == {"login by test"}
    owner.ask("DELETE", f"/api/v1/tokens/{mine[0]['id']}")
    assert post(live, grant_type="refresh_token", refresh_token=refresh).status_code == 401
    assert live.stranger.get(path, headers=bearer(token)).status_code == 401


def test_an_access_token_is_a_password_here_too_and_its_scopes_go_along(live, owner, place):
    reach = [{"repository": place, "actions": ["pull"]}]
    secret = owner.make_token(scopes=reach)["token"]
    scope = f"repository:{place}/app:pull,push"
    form = {"grant_type": "password", "username": "ci", "password": secret, "scope": scope}
    by_form = post(live, access_type="offline", **form).json()
    asked = {"scope": scope, "offline_token": "true"}
    by_query = live.stranger.get("/v2/token", params=asked, auth=("ci", secret)).json()

    for each in (by_form, by_query):
        assert "refresh_token" not in each  # it can be kept as it is
        assert each["scope"] == f"repository:{place}/app:pull"
        headers = bearer(each["access_token"])
        path = f"/v2/{place}/app/blobs/"
        assert live.stranger.get(path + digest_of(CONTENT), headers=headers).status_code == 200
        assert live.stranger.post(path + "uploads/", headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({}, 400),
        ({"grant_type": "magic"}, 400),
        ({"grant_type": "password"}, 401),
        ({"grant_type": "password", "username": "admin", "password": "wrong"}, 401),
        ({"grant_type": "password", "username": "", "password": ""}, 401),
        ({"grant_type": "refresh_token"}, 401),
        ({"grant_type": "refresh_token", "refresh_token": "orlopr_" + "A" * 43}, 401),
        ({"grant_type": "refresh_token", "refresh_token": "\u20ac"}, 401),
    ],
)
def test_a_form_that_proves_nothing_is_refused(live, form, status):
    answer = post(live, **form)

    assert answer.status_code == status
    assert codes(answer) == ["UNAUTHORIZED" if status == 401 else "UNSUPPORTED"]
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"a=b"] * 300), "application/x-www-form-urlencoded", 400),
        (b"{}", "application/json", 400),
        (b"x" * 20_000, "application/x-www-form-urlencoded", 413),
    ],
)
def test_a_body_that_is_no_form_is_refused(live, content, kind, status):
    answer = live.stranger.post("/v2/token", content=content, headers={"Content-Type": kind})

    assert answer.status_code == status


def test_what_is_not_possible_is_left_out_of_the_scope_and_is_no_error(live, owner, place):
    public = repository(live, "public")
    asked = [
        f"repository:{place}/app:pull,push,delete",
        f"repository:{public}/app:pull,push",
        f"repository:{repository(live)}/secret:pull",
        "repository:local/missing/secret:pull",
        "repository:x:pull",
    ]

    answer = live.stranger.get("/v2/token", params={"scope": asked}, auth=owner.auth)

    assert answer.json()["scope"].split() == [
        f"repository:{place}/app:pull,push",
        f"repository:{public}/app:pull",
    ]


def test_the_anonymous_get_tokens_for_public_images_and_nothing_that_lasts(live):
    public = repository(live, "public")
    live.push(f"{public}/app", CONTENT)
    asked = {"scope": f"repository:{public}/app:pull,push", "offline_token": "true"}

    body = live.stranger.get("/v2/token", params=asked).json()

    assert body["scope"] == f"repository:{public}/app:pull"
    assert "refresh_token" not in body
    path = f"/v2/{public}/app/blobs/{digest_of(CONTENT)}"
    assert live.stranger.get(path, headers=bearer(body["token"])).content == CONTENT


def test_a_browsers_cookie_is_no_credential_for_tokens(live, owner, place):
    browser = owner.sign_in()
    scope = f"repository:{place}/app:pull"

    body = browser.ask("GET", "/v2/token", params={"scope": scope}).json()

    assert body["scope"] == ""


def test_jobs_that_log_in_with_an_access_token_end_nobodys_login(live, monkeypatch):
    monkeypatch.setattr("frontend.registry.token.MAX_REFRESH", 2)
    somebody = person(live)
    params = {"offline_token": "true"}
    mine = live.stranger.get("/v2/token", params=params, auth=somebody.auth).json()["refresh_token"]
    job = somebody.make_token(scopes=[{"repository": "*", "actions": ["pull"]}])["token"]

    for _ in range(3):
        assert live.stranger.get("/v2/token", params=params, auth=("job", job)).status_code == 200

    assert post(live, grant_type="refresh_token", refresh_token=mine).status_code == 200
    assert somebody.ask("GET", "/api/v1/tokens").json()["total"] == 2


def test_logins_of_an_account_are_bounded(live, monkeypatch):
    monkeypatch.setattr("frontend.registry.token.MAX_REFRESH", 20)
    somebody = person(live)
    params = {"offline_token": "true", "client_id": "x\x1b[31m" * 30}
    secrets = [
        live.stranger.get("/v2/token", params=params, auth=somebody.auth).json()["refresh_token"]
        for _ in range(23)
    ]

    listed = somebody.ask("GET", "/api/v1/tokens", params={"per_page": 1000}).json()["items"]

    assert len(listed) == 20
    assert all(each["name"].isprintable() and len(each["name"]) < 60 for each in listed)
    assert post(live, grant_type="refresh_token", refresh_token=secrets[-1]).status_code == 200


def test_head_makes_nothing_that_lasts(live):
    somebody = person(live)

    answer = live.stranger.head("/v2/token?offline_token=true", auth=somebody.auth)

    assert (answer.status_code, answer.content) == (200, b"")
    assert somebody.ask("GET", "/api/v1/tokens").json()["total"] == 0


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_there_is_no_other_method(live, method):
    assert live.stranger.request(method, "/v2/token").status_code == 405


@pytest.mark.parametrize("error", [NoSpace(), StorageFull(0, 1), DaemonAway(), WriterBusy(1)])
def test_who_logs_in_while_nothing_can_be_written_can_pull(live, owner, place, error, monkeypatch):
    async def refuse(self, changes, expectations=()):
        raise error

    monkeypatch.setattr(type(live.registry.store), "commit", refuse)
    scope = f"repository:{place}/app:pull"
    asked = {"scope": scope, "offline_token": "true"}
    form = {"username": owner.name, "password": owner.password, "scope": scope}
    answers = [
        live.stranger.get("/v2/token", params=asked, auth=owner.auth),
        post(live, grant_type="password", access_type="offline", **form),
    ]

    path = f"/v2/{place}/app/blobs/{digest_of(CONTENT)}"
    for answer in answers:
        assert answer.status_code == 200
        assert "refresh_token" not in answer.json()
        headers = bearer(answer.json()["token"])
        assert live.stranger.get(path, headers=headers).content == CONTENT
