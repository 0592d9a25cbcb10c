"""Accounts are made, changed and ended by forms; passwords are never shown."""

import re
import secrets

import pytest

from tests.frontend.people import person

USERS = "/admin/users"
PASSWORD = secrets.token_urlsafe(12)


def fault_of(answer, field: str) -> bool:
    """Whether the form came back with a fault beside this field."""
    return answer.status_code >= 400 and f'id="f-{field}-fault"' in answer.text


def fresh() -> tuple[str, str]:
    return f"w{secrets.token_hex(4)}", secrets.token_urlsafe(12)


def shown(live, name: str) -> dict:
    return live.client.get(f"/api/v1/users/{name}").json()


@pytest.fixture
def admin(visitors):
    return visitors["admin"]


def test_a_user_is_made_and_can_sign_in(live, admin):
    name, password = fresh()

    answer = admin.send(USERS, username=f" {name} ", password=password, role="user")

    assert answer.status_code == 303
    signed_in = live.stranger.get("/api/v1/tokens", auth=(name, password))
    assert signed_in.status_code == 200
    assert password not in admin.get(f"{USERS}/{name}").text


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("username", {"username": "no good", "password": PASSWORD}),
        ("username", {"username": "admin", "password": PASSWORD}),
        ("password", {"username": "w-short", "password": PASSWORD[:7]}),
        ("role", {"username": "w-role", "password": PASSWORD, "role": "king"}),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(admin, field, wrong):
    answer = admin.send(USERS, **{"role": "user"} | wrong)

    assert fault_of(answer, field), answer.text
    assert f'value="{wrong["username"]}"' in answer.text
    assert wrong["password"] not in answer.text


def test_what_somebody_is_let_in_by_is_shown_and_taken_away(live, admin):
    somebody = person(live)
    auth = (somebody.name, somebody.password)
    made = live.stranger.post("/api/v1/tokens", auth=auth, json={"name": "a robot's"}).json()
    said = {"username": somebody.name, "password": somebody.password}
    session = live.stranger.post("/api/v1/session", json=said)
    cookie = {"Cookie": session.headers["Set-Cookie"].partition(";")[0]}
    bearer = {"Authorization": f"Bearer {made['token']}"}
    here = f"{USERS}/{somebody.name}"

    def is_let_in(headers):
        return live.stranger.get("/api/v1/session", headers=headers).status_code == 200

    def actions(text, what):
        return re.findall(rf'action="({here}/{what}/[^"]+)"', text)

    before = admin.get(here).text
    assert "a robot&#39;s" in before
    assert made["token"] not in before
    assert is_let_in(bearer)
    assert is_let_in(cookie)

    for what in ("tokens", "sessions"):
        (action,) = actions(before, what)
        assert admin.send(action).status_code == 303

    after = admin.get(here).text
    assert (actions(after, "tokens"), actions(after, "sessions")) == ([], [])
    assert not is_let_in(bearer)
    assert not is_let_in(cookie)


def test_a_disabled_user_is_refused_from_then_on(live, admin):
    somebody = person(live)

    answer = admin.send(f"{USERS}/{somebody.name}/settings", role="user", disabled="1")

    assert answer.status_code == 303
    assert somebody.ask("GET", "/api/v1/tokens").status_code == 401
    assert "disabled" in admin.get(f"{USERS}/{somebody.name}").text


def test_what_others_changed_meanwhile_is_not_lost(live, admin):
    somebody = person(live)
    etag = live.client.get(f"/api/v1/users/{somebody.name}").headers["ETag"]
    path = f"{USERS}/{somebody.name}/settings"

    first = admin.send(path, role="admin", etag=etag)
    second = admin.send(path, role="user", etag=etag)

    assert (first.status_code, second.status_code) == (303, 412)
    assert shown(live, somebody.name)["role"] == "admin"


def test_another_password_is_set_and_ones_own_needs_the_current_one(live, admin):
    somebody, (_, password) = person(live), fresh()
    own = admin.who

    answer = admin.send(f"{USERS}/{somebody.name}/password", password=password)
    careless = admin.send(
        f"{USERS}/{own.name}/password", password=password, current_password=password
    )

    assert answer.status_code == 303
    assert live.stranger.get("/api/v1/tokens", auth=(somebody.name, password)).status_code == 200
    assert somebody.ask("GET", "/api/v1/tokens").status_code == 401
    assert fault_of(careless, "current_password")
    assert own.ask("GET", "/api/v1/tokens").status_code == 200


def test_a_user_goes_when_his_name_is_typed(live, admin):
    somebody = person(live)
    path = f"{USERS}/{somebody.name}/delete"

    assert fault_of(admin.send(path, confirm="another"), "confirm")
    assert live.client.get(f"/api/v1/users/{somebody.name}").status_code == 200
    assert admin.send(path, confirm=somebody.name).status_code == 303
    assert live.client.get(f"/api/v1/users/{somebody.name}").status_code == 404
