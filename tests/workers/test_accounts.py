"""What is revoked is refused by every worker, from the next request on an open connection."""

import json
import secrets

import pytest

from tests.workers.servers import serving
from tests.workers.test_limits import basic

pytestmark = pytest.mark.slow

NAME, PASSWORD = "ann", secrets.token_urlsafe(12)


@pytest.fixture
def two(tmp_path):
    with serving(tmp_path, "--workers", "2") as server:
        server.wait_greeting()
        made = call(server, "POST", "/api/v1/users", username=NAME, password=PASSWORD)
        assert made["username"] == NAME
        yield server


def call(server, method: str, path: str, **body: object) -> dict:
    status, _, answer = server.call(method, path, json.dumps(body).encode() if body else b"")
    assert status < 300, answer
    return json.loads(answer) if answer else {}


def ask(connection, method: str, path: str, body: bytes | None = None, **headers: str):
    """One request as nobody but these headers say: status, headers, body."""
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def credentials(server) -> dict[str, dict[str, str]]:
    """Everything that proves who she is."""
    connection = next(iter(server.both().values()))
    password = basic(NAME, PASSWORD)
    body = json.dumps({"name": "t"}).encode()
    _, _, made = ask(connection, "POST", "/api/v1/tokens", body, **password)
    token = json.loads(made)["token"]
    _, _, issued = ask(connection, "GET", "/v2/token", **password)
    _, _, by_token = ask(connection, "GET", "/v2/token", **basic("x", token))
    said = json.dumps({"username": NAME, "password": PASSWORD}).encode()
    _, headers, _ = ask(connection, "POST", "/api/v1/session", said)
    cookie = headers["Set-Cookie"].partition(";")[0]
    return {
        "password": password,
        "token": basic("x", token),
        "bearer": {"Authorization": f"Bearer {token}"},
        "registry token": {"Authorization": f"Bearer {json.loads(issued)['token']}"},
        "registry token by token": {"Authorization": f"Bearer {json.loads(by_token)['token']}"},
        "session": {"Cookie": cookie},
    }


def statuses(connections, said) -> set[tuple[str, int]]:
    return {
        (name, ask(connection, "GET", "/v2/", **headers)[0])
        for connection in connections
        for name, headers in said.items()
    }


@pytest.mark.parametrize("end", ["disabled", "deleted"])
def test_nobody_is_let_in_by_any_worker_when_the_account_is_gone(two, end):
    said, connections = credentials(two), list(two.both().values())
    before = [statuses(connections, said) for _ in range(3)]  # proven, found and recalled

    if end == "disabled":
        call(two, "PATCH", f"/api/v1/users/{NAME}", disabled=True)
    else:
        call(two, "DELETE", f"/api/v1/users/{NAME}")

    assert before == [{(name, 200) for name in said}] * 3
    assert statuses(connections, said) == {(name, 401) for name in said}


def test_a_revoked_token_ends_alone_in_every_worker(two):
    said, connections = credentials(two), list(two.both().values())
    statuses(connections, said)
    listed = call(two, "GET", f"/api/v1/tokens?username={NAME}")["items"]

    call(two, "DELETE", f"/api/v1/tokens/{listed[0]['id']}")

    ended = {"token", "bearer", "registry token by token"}
    expected = {(name, 401 if name in ended else 200) for name in said}
    assert statuses(connections, said) == expected
