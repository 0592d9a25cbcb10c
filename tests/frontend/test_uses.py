"""When access and refresh tokens were last used: noted by every way in, whoever answers."""

import pytest

from frontend.access import tokens
from frontend.access.uses import tokens_of
from frontend.domain.message import Evidence, Principal
from tests.frontend.live import digest_of
from tests.frontend.people import bearer, person, repository

CONTENT = b"used now and then"


@pytest.fixture(scope="module")
def owner(live):
    return person(live)


@pytest.fixture(scope="module")
def path(live, owner):
    """A blob that `owner` may pull: an answer that is remembered to the byte."""
    name = repository(live)
    live.push(f"{name}/app", CONTENT)
    owner.grant(name, "reader")
    return f"/v2/{name}/app/blobs/{digest_of(CONTENT)}"


def used_at(live, owner, token_id):
    live.run(live.registry.uses.flush, live.registry.store)
    listed = owner.ask("GET", "/api/v1/tokens", params={"per_page": 1000}).json()["items"]
    return next(each for each in listed if each["id"] == token_id)["last_used_at"]


@pytest.mark.parametrize("way", ["basic", "bearer"])
@pytest.mark.parametrize("where", ["registry", "management", "token endpoint"])
def test_a_use_is_a_time_whichever_way_it_came(live, owner, path, way, where):
    made = owner.make_token()
    how = {"auth": ("x", made["token"])} if way == "basic" else {"headers": bearer(made["token"])}
    asked = {"registry": path, "management": "/api/v1/session", "token endpoint": "/v2/token"}
    before = used_at(live, owner, made["id"])

    answer = live.stranger.get(asked[where], **how)

    assert (answer.status_code, before) == (200, None)
    assert used_at(live, owner, made["id"]) >= made["created_at"]


@pytest.mark.parametrize("way", ["hot", "application"])
def test_a_proof_that_is_remembered_is_a_use_each_time(live, owner, path, way, monkeypatch):
    if way == "application":
        monkeypatch.setattr("frontend.registry.hot._hot_route", lambda head: None)
    made = owner.make_token()
    noted = live.registry.uses._noted
    for _ in range(3):
        assert live.stranger.get(path, headers=bearer(made["token"])).content == CONTENT
        assert noted.pop(made["id"], 0)


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_what_a_short_lived_token_does_is_a_use_of_what_it_was_made_by(live, path, kind):
    somebody = person(live)
    somebody.grant("/".join(path.split("/")[2:4]), "reader")
    scope = f"repository:{path.split('/v2/')[1].split('/blobs/')[0]}:pull"
    if kind == "access":
        form = {"grant_type": "password", "username": "x"}
        form["password"] = somebody.make_token()["token"]
    else:
        asked = {"offline_token": "true"}
        made = live.stranger.get("/v2/token", params=asked, auth=somebody.auth).json()
        form = {"grant_type": "refresh_token", "refresh_token": made["refresh_token"]}
    (token,) = somebody.ask("GET", "/api/v1/tokens").json()["items"]
    noted = live.registry.uses._noted
    assert (token["kind"], token["last_used_at"], token["id"] in noted) == (kind, None, False)

    short = live.stranger.post("/v2/token", data=form | {"scope": scope}).json()["token"]
    first = noted.pop(token["id"], None)
    pulled = live.stranger.get(path, headers=bearer(short))

    assert first is not None
    assert pulled.content == CONTENT
    assert token["id"] in noted


def test_neither_a_password_nor_a_refused_token_is_a_use(live, owner, path):
    made = owner.make_token()
    browser = owner.sign_in()
    assert owner.ask("DELETE", f"/api/v1/tokens/{made['id']}").status_code == 204
    live.registry.uses._noted.clear()

    owner.ask("GET", path)
    browser.ask("GET", path)
    refused = live.stranger.get(path, headers=bearer(made["token"]))

    assert refused.status_code == 401
    assert live.registry.uses._noted == {}


def test_a_token_that_is_revoked_leaves_no_time_behind(live, owner, path):
    used, unwritten = owner.make_token(), owner.make_token()
    live.stranger.get(path, headers=bearer(used["token"]))
    assert used_at(live, owner, used["id"])
    live.stranger.get(path, headers=bearer(unwritten["token"]))
    for made in (used, unwritten):
        assert owner.ask("DELETE", f"/api/v1/tokens/{made['id']}").status_code == 204

    live.run(live.registry.uses.flush, live.registry.store)

    rows = [
        live.registry.store.read(lambda view, key=each: view.record(tokens.TABLE, key))
        for each in (tokens.used_key(used["id"]), tokens.used_key(unwritten["id"]))
    ]
    assert rows == [None, None]


def test_the_tokens_of_a_principal_are_those_that_proved_it():
    user = Evidence("user", b"ida", b"row")
    row = Evidence("token", tokens.ROWS.row_key("one"), b"row")

    assert tokens_of(Principal("ida", evidence=(user, row))) == ("one",)
    assert tokens_of(Principal("ida", evidence=(user,))) == tokens_of(Principal()) == ()
