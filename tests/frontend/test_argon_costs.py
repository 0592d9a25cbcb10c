"""No request pays for a password twice within a minute, whatever it asks for."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from frontend.access import passwords
from tests.frontend.people import person


@pytest.fixture
def verified(monkeypatch):
    """How often argon2 ran."""
    calls, right, lock = [], passwords.is_password, threading.Lock()

    def count(encoded, password):
        with lock:
            calls.append(password)
        return right(encoded, password)

    monkeypatch.setattr(passwords, "is_password", count)
    return calls


def test_a_password_is_verified_once_for_all_kinds_of_requests(live, verified):
    somebody = person(live)
    image = live.image("local/public")
    form = {"grant_type": "password", "username": somebody.name, "password": somebody.password}

    for _ in range(3):
        somebody.ask("GET", "/v2/")
        somebody.ask("GET", f"/v2/{image}/tags/list")
        somebody.ask("GET", f"/v2/{image}/manifests/none")
        somebody.ask("POST", f"/v2/{image}/blobs/uploads/")
        somebody.ask("GET", "/v2/token", params={"scope": f"repository:{image}:pull"})
        live.stranger.post("/v2/token", data=form)
        somebody.ask("GET", "/api/v1/session")
        somebody.sign_in()

    assert verified.count(somebody.password) == 1


def test_many_at_once_share_one_verification(live, verified):
    somebody = person(live)

    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda _: somebody.ask("GET", "/v2/").status_code, range(64)))

    assert set(codes) == {200}
    assert verified.count(somebody.password) == 1


def test_tokens_and_cookies_cost_none(live, verified):
    somebody = person(live)
    token, browser = somebody.make_token()["token"], somebody.sign_in()
    short = somebody.registry_token()
    verified.clear()

    live.stranger.get("/v2/", auth=("x", token))
    live.stranger.get("/v2/", headers={"Authorization": f"Bearer {short}"})
    browser.ask("GET", "/v2/")

    assert verified == []
