"""`/api/v1/users`: accounts, roles and passwords."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from frontend.access.grants import put_grant
from frontend.access.sessions import TABLE as SESSIONS
from frontend.access.tokens import TABLE as TOKENS
from tests.frontend.live import PASSWORD, running
from tests.frontend.people import bearer, detail, person, repository


def users(live) -> dict[str, dict]:
    items = live.client.get("/api/v1/users", params={"per_page": 1000}).json()["items"]
    return {each["username"]: each for each in items}


def password() -> str:
    return secrets.token_urlsafe(12)


def test_a_user_is_created_once_in_whatever_case_and_shown_without_secrets(live):
    body = {"username": "Alice.Smith", "password": password()}

    made = live.client.post("/api/v1/users", json=body)
    again = live.client.post("/api/v1/users", json=body | {"username": "alice.smith"})
    seen = live.client.get("/api/v1/users/ALICE.smith")

    assert (made.status_code, again.status_code) == (201, 409)
    assert made.json() == seen.json() == users(live)["alice.smith"]
    assert made.json().keys() == {"username", "role", "disabled", "created_at"}
    assert (made.json()["role"], made.json()["disabled"]) == ("user", False)
    assert live.stranger.get("/v2/", auth=("alice.smith", body["password"])).status_code == 200


@pytest.mark.parametrize(
    "name", ["", "a:b", "a b", "-a", "a-", "a/b", "ä", "a" * 65, "a\0", "<token>", "a\n"]
)
def test_a_bad_user_name_is_400(live, name):
    answer = live.client.post("/api/v1/users", json={"username": name, "password": password()})

    assert answer.status_code == 400
    assert "a user name has" in detail(answer)


@pytest.mark.parametrize(
    "bad", ["", "short", "x" * 1025, "orlop_" + "a" * 43, "orlopr_" + "a" * 43]
)
def test_a_bad_password_is_400_and_not_repeated(live, bad):
    answer = live.client.post("/api/v1/users", json={"username": "bob", "password": bad})

    assert answer.status_code == 400
    assert len(bad) < 6 or bad not in answer.text
    assert "bob" not in users(live)


def test_a_user_sees_himself_and_no_other(live):
    somebody, other = person(live), person(live)

    assert somebody.ask("GET", f"/api/v1/users/{somebody.name}").status_code == 200
    for path in (f"/api/v1/users/{other.name}", "/api/v1/users/nobody", "/api/v1/users"):
        assert somebody.ask("GET", path).status_code == 403


def test_a_disabled_user_is_refused_with_everything_he_has(live):
    somebody = person(live)
    image = live.image("local/public")
    token = somebody.make_token()["token"]
    browser = somebody.sign_in()
    short = somebody.registry_token(f"repository:{image}:pull")
    by_token = somebody.registry_token(f"repository:{image}:pull", auth=("x", token))
    ways = [
        {"Authorization": somebody.basic},
        bearer(token),
        bearer(short),
        bearer(by_token),
    ]
    before = [live.stranger.get("/v2/", headers=each).status_code for each in ways]
    change = {"disabled": True}

    changed = live.client.patch(f"/api/v1/users/{somebody.name}", json=change)

    assert before == [200] * 4
    assert changed.json()["disabled"] is True
    assert [live.stranger.get("/v2/", headers=each).status_code for each in ways] == [401] * 4
    assert browser.ask("GET", "/api/v1/session").status_code == 401
    live.client.patch(f"/api/v1/users/{somebody.name}", json={"disabled": False})
    assert live.stranger.get("/v2/", headers=ways[0]).status_code == 200


def test_a_change_of_what_was_seen_before_another_one_is_412(live):
    somebody = person(live)
    path = f"/api/v1/users/{somebody.name}"
    seen = live.client.get(path).headers["ETag"]

    first = live.client.patch(path, json={"role": "admin"}, headers={"If-Match": seen})
    second = live.client.patch(path, json={"role": "user"}, headers={"If-Match": seen})
    third = live.client.delete(path, headers={"If-Match": seen})
    now = live.client.get(path)

    assert (first.status_code, second.status_code, third.status_code) == (200, 412, 412)
    assert first.headers["ETag"] == now.headers["ETag"] != seen
    assert now.json()["role"] == "admin"
    weak = f"W/{now.headers['ETag']}"
    assert live.client.delete(path, headers={"If-Match": weak}).status_code == 412
    listed = f'"other", {now.headers["ETag"]}'
    assert live.client.delete(path, headers={"If-Match": listed}).status_code == 204


def test_a_user_is_deleted_and_a_namesake_inherits_nothing(live):
    somebody, place = person(live), repository(live)
    somebody.grant(place, "writer")
    token = somebody.make_token()
    browser = somebody.sign_in()
    short = somebody.registry_token(f"repository:{place}/app:pull,push")

    deleted = live.client.delete(f"/api/v1/users/{somebody.name}")
    body = {"username": somebody.name, "password": somebody.password}
    live.client.post("/api/v1/users", json=body)

    assert deleted.status_code == 204
    assert live.stranger.get("/v2/", headers=bearer(token["token"])).status_code == 401
    assert live.stranger.get("/v2/", headers=bearer(short)).status_code == 401
    assert browser.ask("GET", "/api/v1/session").status_code == 401
    pushed = somebody.ask("POST", f"/v2/{place}/app/blobs/uploads/")
    assert pushed.status_code == 404
    rows = live.registry.store.read(
        lambda view: [
            key
            for table in (TOKENS, SESSIONS)
            for key, value in view.iter_records(table)
            if somebody.name.encode() in key + value
        ]
    )
    assert rows == []


def test_a_namesake_inherits_no_role_that_was_given_while_the_account_went(live, monkeypatch):
    """The deletion has looked at what belongs to the account; then comes another role."""
    gone, place = person(live), repository(live)
    record = live.registry.store.read(lambda view: view.repository(place))
    store = type(live.registry.store)
    commit = store.commit

    async def late(self, changes, expectations=()):
        monkeypatch.undo()
        await commit(self, put_grant(record.id, gone.name, "admin"))
        return await commit(self, changes, expectations)

    monkeypatch.setattr(store, "commit", late)
    assert live.client.delete(f"/api/v1/users/{gone.name}").status_code == 204
    body = {"username": gone.name, "password": gone.password}

    assert live.client.post("/api/v1/users", json=body).status_code == 201

    assert gone.ask("GET", f"/api/v1/repositories/{place}").status_code == 404
    listed = gone.ask("GET", "/api/v1/repositories", params={"per_page": 1000}).json()["items"]
    assert place not in {f"{each['storage']}/{each['name']}" for each in listed}
    roles = live.client.get(f"/api/v1/repositories/{place}/grants").json()
    assert roles["items"] == []


@pytest.mark.parametrize("change", [{"role": "user"}, {"disabled": True}, None])
def test_the_last_administrator_stays(tmp_path, change):
    with running(tmp_path / "data") as own:
        path = "/api/v1/users/admin"

        def remove():
            return (
                own.client.delete(path) if change is None else own.client.patch(path, json=change)
            )

        alone = remove()
        person(own, "admin")
        with_another = remove()

    assert alone.status_code == 409
    assert "last administrator" in detail(alone)
    assert with_another.status_code in (200, 204)


def test_two_administrators_who_remove_each_other_do_not_both_succeed(tmp_path):
    with running(tmp_path / "data") as own:
        first, second = person(own, "admin"), person(own, "admin")
        own.client.delete("/api/v1/users/admin")

        def remove(pair):
            return pair[0].ask("DELETE", f"/api/v1/users/{pair[1].name}").status_code

        with ThreadPoolExecutor(2) as pool:
            codes = list(pool.map(remove, [(first, second), (second, first)]))
        left = [each for each in (first, second) if each.ask("GET", "/v2/").status_code == 200]

    assert codes.count(204) == 1
    assert len(left) == 1


def test_ones_own_password_needs_the_current_one(live):
    somebody = person(live)
    path, new = f"/api/v1/users/{somebody.name}/password", password()

    without = somebody.ask("PUT", path, json={"password": new})
    wrong = somebody.ask("PUT", path, json={"password": new, "current_password": "wrong one"})
    right = somebody.ask("PUT", path, json={"password": new, "current_password": somebody.password})

    assert (without.status_code, wrong.status_code, right.status_code) == (400, 403, 204)
    assert somebody.ask("GET", "/v2/").status_code == 401
    somebody.password = new
    assert somebody.ask("GET", "/v2/").status_code == 200


def test_an_administrator_changes_a_password_and_a_token_changes_none(live):
    somebody = person(live)
    path, new = f"/api/v1/users/{somebody.name}/password", password()
    token = somebody.make_token()["token"]

    by_token = live.stranger.put(
        path, json={"password": new, "current_password": somebody.password}, headers=bearer(token)
    )
    by_admin = live.client.put(path, json={"password": new})
    by_other = person(live).ask("PUT", path, json={"password": password()})

    assert (by_token.status_code, by_admin.status_code, by_other.status_code) == (403, 204, 403)
    assert live.stranger.get("/v2/", auth=(somebody.name, new)).status_code == 200


def test_a_new_password_ends_sessions_and_logins_but_the_one_that_asks_and_keeps_tokens(live):
    somebody = person(live)
    here, elsewhere = somebody.sign_in(), somebody.sign_in()
    token = somebody.make_token()["token"]
    short = somebody.registry_token()
    logged_in = live.stranger.get("/v2/token?offline_token=true", auth=somebody.auth).json()
    body = {"password": password(), "current_password": somebody.password}

    changed = here.ask("PUT", f"/api/v1/users/{somebody.name}/password", json=body)

    assert changed.status_code == 204
    assert here.ask("GET", "/api/v1/session").status_code == 200
    assert elsewhere.ask("GET", "/api/v1/session").status_code == 401
    assert live.stranger.get("/v2/", headers=bearer(token)).status_code == 200
    assert live.stranger.get("/v2/", headers=bearer(short)).status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": logged_in["refresh_token"]}
    assert live.stranger.post("/v2/token", data=form).status_code == 401


def test_the_first_password_is_forgotten_on_disk_when_it_was_changed(tmp_path):
    with running(tmp_path / "data") as own:
        file = own.server.data / "admin-password"
        file.write_text("as the first start leaves it\n")
        own.client.put(f"/api/v1/users/{person(own).name}/password", json={"password": password()})
        assert file.exists()

        body = {"password": password(), "current_password": PASSWORD}
        changed = own.client.put("/api/v1/users/admin/password", json=body)

        assert (changed.status_code, file.exists()) == (204, False)
