"""Limits as clients meet them: 429 with Retry-After, and who is counted behind a proxy."""

import json

import httpx
import pytest

from frontend.settings import Http, Limits, Settings, Storage
from tests.frontend.live import OCTETS, running

RATED = Limits(requests_per_second=0.01, burst=3)


def settings_of(data, limits=RATED, **http) -> Settings:
    http = Http(listen="127.0.0.1:0", shutdown_seconds=2, **http)
    return Settings(http=http, limits=limits, storage=Storage(data=str(data)))


@pytest.fixture
def rated(tmp_path):
    with running(tmp_path, settings_of(tmp_path)) as live:
        yield live


# With a name of its own the connection answers by itself, without one the application does.
NAMES = pytest.mark.parametrize("name", ["", "http://orlop.test"])


@pytest.fixture
def behind(tmp_path, name):
    """Behind a proxy on this machine."""
    proxied = settings_of(tmp_path, trusted_proxies=("127.0.0.0/8",), public_url=name)
    with running(tmp_path, proxied) as live:
        yield live


def statuses(client, path, count=4, method="GET", **more):
    return [client.request(method, path, **more).status_code for _ in range(count)]


def test_the_registry_says_429_with_its_code_and_when_to_come_again(rated):
    image = rated.image()
    path = f"/v2/{image}/manifests/v1"

    found = statuses(rated.client, path)  # the connection's own, the same bytes each time
    refused = rated.client.get(path)

    assert found == [404, 404, 404, 429]
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 100
    assert refused.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert refused.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
    assert "try again in" in refused.json()["errors"][0]["message"]


def test_a_head_that_is_refused_has_no_body(rated):
    refused = [rated.client.head("/v2/local/images/x/manifests/v1") for _ in range(4)][-1]

    assert (refused.status_code, refused.content) == (429, b"")
    assert int(refused.headers["Retry-After"]) >= 1


def test_all_ways_in_are_counted_together(rated):
    statuses(rated.client, "/v2/", 1)
    statuses(rated.client, "/v2/_catalog", 1)  # the application's
    statuses(rated.client, "/api/v1/repositories", 1)

    assert statuses(rated.client, "/v2/", 1) == [429]
    assert statuses(rated.client, "/v2/_catalog", 1) == [429]
    assert statuses(rated.client, "/v2/token", 1) == [429]
    begin = f"/v2/{rated.image()}/blobs/uploads/"
    assert statuses(rated.client, begin, 1, "POST") == [429]


def test_the_management_api_says_429_as_a_problem(rated):
    refused = [rated.client.get("/api/v1/repositories") for _ in range(4)][-1]

    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json()["status"] == 429


def test_accounts_and_strangers_do_not_slow_each_other_down(rated):
    assert statuses(rated.stranger, "/v2/") == [401, 401, 401, 429]
    assert statuses(rated.client, "/v2/") == [200, 200, 200, 429]


def test_who_is_not_believed_is_counted_by_address(rated):
    wrong = {"Authorization": "Bearer nonsense"}

    assert statuses(rated.stranger, "/v2/", headers=wrong) == [401, 401, 401, 429]
    assert statuses(rated.stranger, "/api/v1/repositories", 1, headers=wrong) == [429]


def test_calls_that_are_not_there_and_those_for_anybody_are_counted(rated):
    assert statuses(rated.stranger, "/api/v1/openapi.json", 2) == [200, 200]
    assert statuses(rated.stranger, "/api/v1/nothing", 2) == [404, 429]
    assert statuses(rated.stranger, "/api/v1/openapi.json", 1) == [429]


def test_the_socket_of_the_data_directory_is_not_counted(rated, tmp_path):
    statuses(rated.stranger, "/v2/")
    way = httpx.HTTPTransport(uds=str(tmp_path / "run" / "admin.sock"))
    with httpx.Client(transport=way, base_url="http://local", trust_env=False) as local:
        assert statuses(local, "/api/v1/openapi.json", 6) == [200] * 6
        assert statuses(local, "/api/v1/repositories", 6) == [200] * 6
        assert statuses(local, "/v2/", 6) == [200] * 6


def test_health_is_not_counted(rated):
    statuses(rated.stranger, "/v2/")

    assert statuses(rated.stranger, "/healthz", 10) == [200] * 10


@NAMES
def test_strangers_behind_a_proxy_are_counted_each_by_itself(behind):
    for number in range(3):
        said = {"X-Forwarded-For": f"203.0.113.9, 198.51.100.{number}"}
        assert statuses(behind.stranger, "/v2/", headers=said) == [401, 401, 401, 429]
        # by the application, too
        assert statuses(behind.stranger, "/v2/_catalog", 1, headers=said) == [429]

    assert statuses(behind.stranger, "/v2/") == [401, 401, 401, 429]


@NAMES
def test_what_comes_from_elsewhere_is_not_believed(tmp_path, name):
    elsewhere = settings_of(tmp_path, trusted_proxies=("192.0.2.0/24",), public_url=name)
    with running(tmp_path, elsewhere) as live:
        for number in range(3):
            said = {"X-Forwarded-For": f"198.51.100.{number}"}
            found = statuses(live.stranger, "/v2/", headers=said)
            assert found == ([401, 401, 401, 429] if number == 0 else [429] * 4)


def test_an_account_cannot_take_all_places_of_uploads(tmp_path):
    limits = Limits(concurrent_uploads=3, uploads_per_principal=1)
    with running(tmp_path, settings_of(tmp_path, limits)) as live:
        place = live.begin(live.image())
        seen = []

        def body():
            yield b"x" * 1000
            other = live.begin(live.image())
            seen.append(live.client.patch(other, content=b"y", headers=OCTETS))
            yield b"x"

        assert live.client.patch(place, content=body(), headers=OCTETS).status_code == 202
        assert live.client.patch(live.begin(live.image()), content=b"y").status_code == 202

    (refused,) = seen
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    assert json.loads(refused.content)["errors"][0]["code"] == "TOOMANYREQUESTS"


# --- passwords ---

GUESSED = Limits(failed_logins=3, failed_logins_per_address=5)


@pytest.fixture
def guessed(tmp_path):
    with running(tmp_path, settings_of(tmp_path, GUESSED)) as live:
        yield live


def guesses(live, path, name="somebody", count=4, **more):
    return [
        live.stranger.get(path, auth=(name, f"wrong {number}"), **more).status_code
        for number in range(count)
    ]


def by_form(live, name="somebody", count=4):
    return [
        live.stranger.post(
            "/v2/token",
            data={
                "grant_type": "password",
                "client_id": "c",
                "service": "s",
                "username": name,
                "password": f"wrong {number}",
            },
        ).status_code
        for number in range(count)
    ]


@pytest.mark.parametrize(
    "path", ["/v2/", "/v2/_catalog", "/v2/token", "/api/v1/repositories", "/v2/local/x/y/tags/list"]
)
@pytest.mark.parametrize("name", ["admin", "nobody"])
def test_wrong_passwords_are_answered_429_after_a_while(guessed, path, name):
    assert guesses(guessed, path, name) == [401, 401, 401, 429]

    refused = guessed.stranger.get(path, auth=(name, "wrong"))
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 100
    assert "too many failed logins" in refused.text
    assert "wrong" not in refused.text


def test_all_ways_to_try_a_password_are_counted_together(guessed):
    assert by_form(guessed, count=1) == [401]
    assert guesses(guessed, "/v2/token", count=1) == [401]
    assert guesses(guessed, "/api/v1/repositories", count=1) == [401]

    assert by_form(guessed, count=1) == [429]
    assert guesses(guessed, "/v2/", count=1) == [429]


def test_one_address_cannot_try_many_names(guessed):
    found = [guesses(guessed, "/v2/", f"user-{number}", 1)[0] for number in range(7)]

    assert found == [401] * 5 + [429] * 2


def test_what_is_proven_and_what_is_no_password_goes_on(guessed):
    token = guessed.client.get("/v2/token").json()["token"]
    assert guesses(guessed, "/v2/", "admin") == [401, 401, 401, 429]

    assert guessed.client.get("/v2/").status_code == 200
    bearer = {"Authorization": f"Bearer {token}"}
    assert guessed.stranger.get("/v2/", headers=bearer).status_code == 200


def test_a_forged_token_is_no_guess_at_an_account(guessed):
    forged = {"Authorization": "Bearer nonsense"}

    assert statuses(guessed.stranger, "/v2/", 20, headers=forged) == [401] * 20
    assert guesses(guessed, "/v2/", count=1) == [401]


@NAMES
def test_behind_a_proxy_each_client_is_counted_by_itself(tmp_path, name):
    proxied = settings_of(tmp_path, GUESSED, trusted_proxies=("127.0.0.1",), public_url=name)
    with running(tmp_path, proxied) as live:
        for number in range(3):
            said = {"X-Forwarded-For": f"198.51.100.{number}"}
            assert guesses(live, "/v2/", headers=said) == [401, 401, 401, 429]


def test_signing_in_and_changing_a_password_are_counted_too(guessed):
    def sign_in(number):
        body = {"username": "somebody", "password": f"wrong {number}"}
        return guessed.stranger.post("/api/v1/session", json=body).status_code

    def change(number):
        body = {"current_password": f"wrong {number}", "password": "a new password"}
        return guessed.client.put("/api/v1/users/admin/password", json=body).status_code

    assert [sign_in(number) for number in range(4)] == [401, 401, 401, 429]
    assert guessed.client.get("/v2/").status_code == 200  # proves who changes it
    assert [change(number) for number in range(4)] == [403, 403, 403, 429]
