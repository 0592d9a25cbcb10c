"""`/api/v1/tokens`: access tokens, as passwords with any user name, and as Bearer."""

import time
from functools import partial

import msgspec
import pytest

from frontend.access.tokens import ROWS, TABLE, Token
from index.changes import PutRecord
from tests.frontend.live import digest_of
from tests.frontend.people import bearer, detail, person, repository

CONTENT = b"behind a token"


@pytest.fixture(scope="module")
def owner(live):
    return person(live)


@pytest.fixture(scope="module")
def place(live, owner):
    """A private repository with an image of one blob, which `owner` may write."""
    name = repository(live)
    live.push(f"{name}/app", CONTENT)
    owner.grant(name, "writer")
    return name


def scopes(*pairs: tuple[str, str]) -> list[dict]:
    return [{"repository": name, "actions": actions.split(",")} for name, actions in pairs]


def test_a_token_is_a_password_with_any_user_name_and_a_bearer_token(live, owner, place):
    made = owner.make_token(name="laptop")
    path = f"/v2/{place}/app/blobs/{digest_of(CONTENT)}"

    for name in (owner.name, "anything", "", "<token>", "admin"):
        assert live.stranger.get(path, auth=(name, made["token"])).content == CONTENT
    assert live.stranger.get(path, headers=bearer(made["token"])).content == CONTENT
    assert live.stranger.get("/api/v1/session", headers=bearer(made["token"])).json() == {
        "user": {"username": owner.name, "role": "user"},
        "via": "token",
        "csrf_token": None,
    }


def test_a_token_is_shown_once_and_kept_nowhere(live, owner):
    made = owner.make_token(name="seen", expires_in_seconds=3600)
    listed = owner.ask("GET", "/api/v1/tokens").json()["items"]
    same = next(each for each in listed if each["id"] == made["id"])

    assert {key: made[key] for key in same} == same
    assert made["expires_at"] > made["created_at"]
    assert made["token"] not in str(listed)
    data = live.server.data / "index" / "data.mdb"
    assert made["token"].encode() not in data.read_bytes()


@pytest.mark.parametrize(
    ("reach", "expected"),
    [
        (None, (200, 202)),
        ([], (404, 404)),
        ([("*", "pull,push")], (200, 202)),
        ([("local/*", "pull")], (200, 403)),
        ([("{place}", "pull")], (200, 403)),
        ([("{place}", "push")], (404, 202)),
        ([("local/other", "pull,push,delete")], (404, 404)),
        ([("{place}", "pull"), ("*", "push")], (200, 202)),
    ],
)
def test_scopes_narrow_what_a_token_may_do(live, owner, place, reach, expected):
    said = None if reach is None else scopes(*((n.format(place=place), a) for n, a in reach))
    token = owner.make_token(scopes=said)["token"]
    image = f"/v2/{place}/app"

    pulled = live.stranger.get(f"{image}/blobs/{digest_of(CONTENT)}", headers=bearer(token))
    pushed = live.stranger.post(f"{image}/blobs/uploads/", auth=("x", token))

    assert (pulled.status_code, pushed.status_code) == expected


def test_scopes_give_nothing_that_the_account_has_not(live, place):
    stranger = person(live)
    token = stranger.make_token(scopes=scopes(("*", "pull,push,delete")))["token"]

    path = f"/v2/{place}/app/blobs/{digest_of(CONTENT)}"
    assert live.stranger.get(path, headers=bearer(token)).status_code == 404


def test_a_token_ends_when_its_time_is_over(live, owner):
    made = owner.make_token(expires_in_seconds=60)
    assert live.stranger.get("/v2/", headers=bearer(made["token"])).status_code == 200
    key = ROWS.row_key(made["id"])
    row = Token.decode(live.registry.store.read(lambda view: view.record(TABLE, key)))
    ended = Token(**{f: getattr(row, f) for f in row.__struct_fields__} | {"expires_at": 1})

    live.run(live.registry.store.commit, [PutRecord(TABLE, key, ended.encode())])

    assert live.stranger.get("/v2/", headers=bearer(made["token"])).status_code == 401
    assert live.stranger.get("/v2/", auth=("x", made["token"])).status_code == 401


def test_what_a_token_proved_is_not_believed_beyond_its_end(live, owner):
    made = owner.make_token(expires_in_seconds=60)
    authenticator = live.registry.authenticator
    ahead, authenticator._clock = authenticator._clock, lambda: time.time() + 61
    try:
        answer = live.stranger.get("/v2/", headers=bearer(made["token"]))
    finally:
        authenticator._clock = ahead

    assert answer.status_code == 401


@pytest.mark.parametrize("way", ["itself", "registry token"])
def test_the_memory_of_a_proof_ends_with_the_token(live, owner, place, way):
    made = owner.make_token(expires_in_seconds=3600)
    scope = f"repository:{place}/app:pull"
    short = owner.registry_token(scope, auth=("x", made["token"]))
    key = ROWS.row_key(made["id"])
    row = Token.decode(live.registry.store.read(lambda view: view.record(TABLE, key)))
    soon = msgspec.structs.replace(row, expires_at=int(time.time()) + 20)
    live.run(live.registry.store.commit, [PutRecord(TABLE, key, soon.encode())])
    headers = bearer(made["token"] if way == "itself" else short)
    path = f"/v2/{place}/app/blobs/{digest_of(CONTENT)}"

    assert live.stranger.get(path, headers=headers).status_code == 200

    recall = partial(live.registry.authenticator.recall, headers["Authorization"])
    assert live.registry.store.read(recall).until <= time.monotonic() + 20


def test_a_revoked_token_is_refused_with_all_that_was_made_by_it(live, owner, place):
    made = owner.make_token()
    scope = f"repository:{place}/app:pull"
    short = owner.registry_token(scope, auth=("x", made["token"]))
    form = {"grant_type": "password", "username": "x", "password": made["token"]}
    path = f"/v2/{place}/app/blobs/{digest_of(CONTENT)}"
    before = [
        live.stranger.get(path, headers=bearer(made["token"])).status_code,
        live.stranger.get(path, headers=bearer(short)).status_code,
        live.stranger.post("/v2/token", data=form).status_code,
    ]

    gone = owner.ask("DELETE", f"/api/v1/tokens/{made['id']}")

    assert (before, gone.status_code) == ([200] * 3, 204)
    assert live.stranger.get(path, headers=bearer(made["token"])).status_code == 401
    assert live.stranger.get(path, headers=bearer(short)).status_code == 401
    assert live.stranger.post("/v2/token", data=form).status_code == 401
    assert owner.ask("DELETE", f"/api/v1/tokens/{made['id']}").status_code == 404


def test_a_token_makes_and_shows_no_tokens_and_revokes_itself_alone(live, owner):
    first, second = owner.make_token(), owner.make_token()
    headers = bearer(first["token"])

    made = live.stranger.post("/api/v1/tokens", json={"name": "x"}, headers=headers)
    listed = live.stranger.get("/api/v1/tokens", headers=headers)
    other = live.stranger.delete(f"/api/v1/tokens/{second['id']}", headers=headers)
    itself = live.stranger.delete(f"/api/v1/tokens/{first['id']}", headers=headers)

    assert [each.status_code for each in (made, listed, other, itself)] == [403, 403, 404, 204]


def test_others_tokens_are_for_administrators(live, owner):
    somebody = person(live)
    made = owner.make_token(name="mine")
    whose = {"username": owner.name}

    assert somebody.ask("GET", "/api/v1/tokens", params=whose).status_code == 403
    assert somebody.ask("POST", "/api/v1/tokens", json={"name": "x"} | whose).status_code == 403
    assert somebody.ask("DELETE", f"/api/v1/tokens/{made['id']}").status_code == 404
    listed = live.client.get("/api/v1/tokens", params=whose).json()["items"]
    assert made["id"] in [each["id"] for each in listed]
    given = live.client.post("/api/v1/tokens", json={"name": "for him"} | whose).json()
    assert given["username"] == owner.name
    assert live.stranger.get("/v2/", headers=bearer(given["token"])).status_code == 200
    assert live.client.delete(f"/api/v1/tokens/{made['id']}").status_code == 204


def test_an_administrators_token_with_scopes_administers_nothing(live):
    admin = person(live, "admin")
    wide = admin.make_token()["token"]
    narrow = admin.make_token(scopes=scopes(("*", "pull,push,delete")))["token"]

    for path in ("/api/v1/users", "/api/v1/stats", "/api/v1/gc", "/api/v1/storages"):
        assert live.stranger.get(path, headers=bearer(wide)).status_code == 200
        assert live.stranger.get(path, headers=bearer(narrow)).status_code == 403


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": ""}, "1 to 80 characters"),
        ({"name": "a\nb"}, "1 to 80 characters"),
        ({"name": "x" * 81}, "1 to 80 characters"),
        ({"name": "x", "expires_in_seconds": 1}, "as expected"),
        ({"name": "x", "expires_in_seconds": 10**12}, "as expected"),
        ({"name": "x", "scopes": [{"repository": "*", "actions": ["fly"]}]}, "as expected"),
        ({"name": "x", "scopes": [{"repository": "*", "actions": ["admin"]}]}, "as expected"),
        ({"name": "x", "scopes": scopes(("local", "pull"))}, "use storage/repository"),
        ({"name": "x", "scopes": scopes(("*/a", "pull"))}, "use storage/repository"),
        ({"name": "x", "scopes": scopes(("local/a/b", "pull"))}, "use storage/repository"),
        ({"name": "x", "scopes": [{"repository": "*", "actions": []}]}, "no actions"),
        ({"name": "x", "scopes": scopes(*[("*", "pull")] * 101)}, "at most 100"),
        ({"name": "x", "colour": "red"}, "as expected"),
    ],
)
def test_a_bad_token_is_400(owner, body, words):
    answer = owner.ask("POST", "/api/v1/tokens", json=body)

    assert answer.status_code == 400
    assert words in detail(answer)


@pytest.mark.parametrize("text", ["orlop_" + "A" * 43, "orlopr_" + "A" * 43])
def test_an_unknown_token_reads_like_a_wrong_password(live, text):
    unknown = live.stranger.get("/v2/", auth=("admin", text))
    wrong = live.stranger.get("/v2/", auth=("admin", "wrong"))

    assert unknown.status_code == wrong.status_code == 401
    assert unknown.content == wrong.content
    assert live.stranger.get("/v2/", headers=bearer(text)).status_code == 401


def test_a_refresh_token_is_good_for_nothing_but_tokens(live, owner):
    answer = live.stranger.get("/v2/token?offline_token=true", auth=owner.auth).json()
    refresh = answer["refresh_token"]

    assert live.stranger.get("/v2/", headers=bearer(refresh)).status_code == 401
    assert live.stranger.get("/v2/", auth=("x", refresh)).status_code == 401
    form = {"grant_type": "password", "username": owner.name, "password": refresh}
    assert live.stranger.post("/v2/token", data=form).status_code == 401


def test_tokens_that_have_ended_make_room_for_another(live, monkeypatch):
    """Whoever makes one for each of his jobs has not to clean up."""
    monkeypatch.setattr("frontend.management.tokens.MAX_TOKENS", 3)
    somebody = person(live)
    made = [somebody.make_token(expires_in_seconds=60 if n else None) for n in range(3)]
    full = somebody.ask("POST", "/api/v1/tokens", json={"name": "x"})
    ended = []
    for each in made[1:]:
        key = ROWS.row_key(each["id"])
        row = Token.decode(live.registry.store.read(lambda view, key=key: view.record(TABLE, key)))
        ended.append(PutRecord(TABLE, key, msgspec.structs.replace(row, expires_at=1).encode()))
    live.run(live.registry.store.commit, ended)

    fourth = somebody.make_token()

    assert full.status_code == 409
    assert "revoke some" in detail(full)
    listed = somebody.ask("GET", "/api/v1/tokens").json()["items"]
    assert {each["id"] for each in listed} == {made[0]["id"], fourth["id"]}
