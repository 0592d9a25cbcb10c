"""Limits and the journal over several workers: counted together, told once for all."""

import base64
import json

import pytest

from tests.workers.servers import ask, serving

pytestmark = pytest.mark.slow


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture
def two(tmp_path):
    rate = {"ORLOP_LIMITS__REQUESTS_PER_SECOND": "0.01", "ORLOP_LIMITS__BURST": "40"}
    with serving(tmp_path, "--workers", "2", **rate) as server:
        server.wait_greeting()
        yield server


def statuses(connections, count: int, **headers: str) -> list[int]:
    """Asked on each connection by turns."""
    found = []
    for number in range(count):
        each = connections[number % len(connections)]
        found.append(ask(each, "GET", "/v2/", **headers)[0])
    return found


def test_workers_count_wrong_passwords_together(two):
    connections = list(two.both().values())

    found = statuses(connections, 14, **basic("somebody", "wrong"))

    assert found == [401] * 10 + [429] * 4  # `limits.failed_logins`, not twice as many


def test_workers_count_requests_together(two):
    connections = list(two.both().values())
    spent = sum("/v2/" in line for line in two.log.lines)  # by `both`

    found = statuses(connections, 60)

    assert found == [200] * (40 - spent) + [429] * (20 + spent)


def test_each_worker_writes_its_logins_when_it_ends(two, tmp_path):
    for each in two.both().values():
        ask(each, "GET", "/v2/", **basic("admin", "wrong"))
    assert two.stop() == 0

    with serving(tmp_path, "--workers", "2") as again:
        again.wait_greeting()
        status, _, body = again.call("GET", "/api/v1/journal?action=login.failed")
    rows = json.loads(body)["items"]

    assert status == 200
    assert [(row["target"], row["detail"]) for row in rows] == [("admin", {"failed": 1})] * 2
