"""The account's page: password, tokens and sessions, without scripts."""

import re

import pytest

from tests.frontend.people import bearer, person
from tests.web.visitors import Visitor

_TOKEN = re.compile(r"orlop_[A-Za-z0-9_-]{43}")


@pytest.fixture
def visitor(live):
    made = Visitor(live, person(live))
    yield made
    made.client.close()


def make_token(visitor, **fields):
    asked = {"name": "ci", "rights": "pull", "days": "90", "repositories": ""} | fields
    return visitor.send("/account/tokens", **asked)


def tokens_of(visitor):
    return visitor.who.ask("GET", "/api/v1/tokens").json()["items"]


def test_a_new_token_is_shown_once_and_works(live, visitor):
    answer = make_token(visitor, name="<b>ci</b>", repositories="local/images\nlocal/*")

    assert answer.status_code == 200
    (token,) = set(_TOKEN.findall(answer.text))
    assert live.stranger.get("/api/v1/session", headers=bearer(token)).status_code == 200
    assert "<b>ci" not in answer.text
    again = visitor.get("/account")
    assert token not in again.text
    assert "&lt;b&gt;ci&lt;/b&gt;" in again.text
    (made,) = tokens_of(visitor)
    places = [scope["repository"] for scope in made["scopes"]]
    assert places == ["local/images", "local/*"]
    assert made["expires_at"] is not None


@pytest.mark.parametrize(
    ("rights", "places", "scopes"),
    [
        ("all", "", None),
        ("all", "local/images", [("local/images", {"pull", "push", "delete"})]),
        ("pull push", "", [("*", {"pull", "push"})]),
    ],
)
def test_a_token_is_narrowed_to_what_was_chosen(visitor, rights, places, scopes):
    make_token(visitor, rights=rights, repositories=places, days="")

    (made,) = tokens_of(visitor)
    found = made["scopes"] and [
        (each["repository"], set(each["actions"])) for each in made["scopes"]
    ]
    assert found == scopes
    assert made["expires_at"] is None


def test_a_token_that_cannot_be_made_leaves_what_was_typed(visitor):
    answer = make_token(visitor, name="deploy", repositories="nonsense", days="30")

    assert answer.status_code == 400
    assert "scope &#39;nonsense&#39;" in answer.text
    assert 'value="deploy"' in answer.text
    assert ">\nnonsense</textarea>" in answer.text
    assert '<option value="30" selected>' in answer.text
    assert tokens_of(visitor) == []


def test_a_revoked_token_is_refused_at_once(live, visitor):
    (token,) = set(_TOKEN.findall(make_token(visitor).text))
    (made,) = tokens_of(visitor)

    answer = visitor.send(f"/account/tokens/{made['id']}/revoke")

    assert answer.headers["Location"] == "/account"
    assert "The token was revoked." in visitor.get("/account").text
    assert "The token was revoked." not in visitor.get("/account").text  # it is said once
    assert live.stranger.get("/api/v1/session", headers=bearer(token)).status_code == 401


def test_nobody_revokes_a_token_or_a_session_of_others(live, visitor):
    other = person(live)
    token, browser = other.make_token(), other.sign_in()
    session = other.ask("GET", "/api/v1/sessions").json()["items"][0]["id"]

    for path in (f"/account/tokens/{token['id']}/revoke", f"/account/sessions/{session}/end"):
        assert visitor.send(path).status_code == 404

    assert browser.ask("GET", "/api/v1/session").status_code == 200
    assert live.stranger.get("/api/v1/session", headers=bearer(token["token"])).status_code == 200


def test_a_session_elsewhere_may_be_ended(visitor):
    browser = visitor.who.sign_in()
    found = browser.ask("GET", "/api/v1/sessions").json()["items"]
    (session,) = [each["id"] for each in found if each["is_current"]]

    visitor.send(f"/account/sessions/{session}/end")

    assert browser.ask("GET", "/api/v1/session").status_code == 401
    assert visitor.get("/account").status_code == 200


def test_a_changed_password_keeps_this_session_and_ends_others(visitor):
    browser = visitor.who.sign_in()
    fields = {"current_password": visitor.who.password, "new_password": "another-secret"}

    answer = visitor.send("/account/password", **fields)

    assert answer.headers["Location"] == "/account"
    assert "The password was changed" in visitor.get("/account").text
    assert browser.ask("GET", "/api/v1/session").status_code == 401
    visitor.who.password = "another-secret"  # noqa: S105 - of this test
    assert visitor.who.ask("GET", "/api/v1/session").status_code == 200


def test_a_password_that_is_refused_is_told_on_its_own_form(visitor):
    wrong = {"current_password": "nope", "new_password": "another-secret"}
    short = {"current_password": visitor.who.password, "new_password": "x"}
    for fields, status, words in ((wrong, 403, "current password"), (short, 400, "8 to")):
        answer = visitor.send("/account/password", **fields)

        assert answer.status_code == status
        (alert,) = re.findall(r'role="alert">(.*?)</p>', answer.text)
        assert words in alert
        assert "another-secret" not in answer.text
