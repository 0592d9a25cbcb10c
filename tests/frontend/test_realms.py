"""By which name a client reached us: configured, or as a proxy of ours says."""

import pytest

from frontend.settings import Http, Settings
from tests.frontend.live import running
from tests.frontend.people import person

FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "registry.test:8443"}


def serving(tmp_path, **settings):
    return running(
        tmp_path / "data",
        Settings(http=Http(listen="127.0.0.1:0", shutdown_seconds=2, **settings)),
    )


def challenges(server, headers) -> set[str]:
    """The realms of all kinds of refusals, in place and by the application."""
    image = "/v2/local/images/app"
    basic = ("admin", "wrong")
    answers = [
        server.stranger.get("/v2/", headers=headers),
        server.stranger.get("/v2/", headers=headers, auth=basic),
        server.stranger.get(f"{image}/manifests/t", headers=headers),
        server.stranger.get(f"{image}/tags/list", headers=headers),
        server.stranger.post(f"{image}/blobs/uploads/", headers=headers),
        server.stranger.get("/api/v1/users", headers=headers),
        server.stranger.get("/api/v1/users", headers=headers | {"Authorization": "Bearer x"}),
    ] * 2  # what is remembered is answered another way
    assert {answer.status_code for answer in answers} == {401}
    return {
        answer.headers["WWW-Authenticate"].partition('realm="')[2].partition('"')[0]
        for answer in answers
    }


def test_a_proxy_of_ours_says_by_which_name_and_nobody_else_does(tmp_path):
    with serving(tmp_path, trusted_proxies=["127.0.0.1"]) as server:
        assert challenges(server, FORWARDED) == {"https://registry.test:8443/v2/token"}
        assert challenges(server, {"Host": "evil.invalid"}) == {f"{server.url}/v2/token"}
        assert challenges(server, {"X-Forwarded-Host": 'a"b'}) == {f"{server.url}/v2/token"}
        assert challenges(server, FORWARDED) == {"https://registry.test:8443/v2/token"}
        token = server.stranger.get("/v2/token", headers=FORWARDED, auth=("admin", "wrong"))
        assert token.headers["WWW-Authenticate"] == 'Basic realm="registry.test:8443"'


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"trusted_proxies": ["192.0.2.1"]},
        {"trusted_proxies": ["127.0.0.1"], "public_url": "https://fixed.test"},
    ],
)
def test_without_such_a_proxy_or_with_a_configured_name_it_is_ours(tmp_path, settings):
    with serving(tmp_path, **settings) as server:
        expected = settings.get("public_url", server.url)

        assert challenges(server, FORWARDED) == {f"{expected}/v2/token"}


def test_behind_a_proxy_with_tls_the_cookie_stays_under_tls_and_pages_are_ours(tmp_path):
    with serving(tmp_path, trusted_proxies=["127.0.0.1"]) as server:
        somebody = person(server, "admin")
        body = {"username": somebody.name, "password": somebody.password}
        page = FORWARDED | {"Origin": "https://registry.test:8443"}

        answer = server.stranger.post("/api/v1/session", json=body, headers=page)
        server.stranger.cookies.clear()
        headers = page | {
            "Cookie": f"orlop_session={answer.cookies['orlop_session']}",
            "X-CSRF-Token": answer.json()["csrf_token"],
        }
        made = server.stranger.post("/api/v1/storages", json={"name": "x"}, headers=headers)
        forged = server.stranger.post(
            "/api/v1/storages", json={"name": "y"}, headers=headers | {"Origin": "https://evil"}
        )

        assert "; Secure" in answer.headers["Set-Cookie"]
        assert (made.status_code, forged.status_code) == (201, 403)


def test_a_browser_that_reaches_us_under_another_name_signs_in(live):
    somebody = person(live)
    body = {"username": somebody.name, "password": somebody.password}
    alias = {"Host": "alias.test:99", "Origin": "http://alias.test:99"}

    answer = live.stranger.post("/api/v1/session", json=body, headers=alias)
    live.stranger.cookies.clear()

    assert answer.status_code == 201
