"""Figures over several workers: whichever is asked, it knows of all."""

import json
import secrets

import pytest

from tests.frontend.live import PASSWORD, digest_of, running
from tests.frontend.proxying import LAYER, push
from tests.workers.servers import ask, serving

pytestmark = pytest.mark.slow


@pytest.fixture
def two(tmp_path):
    (own := tmp_path / "own").mkdir()
    with serving(own, "--workers", "2") as server:
        server.wait_greeting()
        yield server


def test_every_worker_tells_what_all_of_them_counted(two, tmp_path):
    with running(tmp_path / "upstream") as upstream:
        push(upstream, "app", "v1", layer := secrets.token_bytes(len(LAYER)))
        source = {
            "url": f"{upstream.url}/local/images",
            "username": "admin",
            "password": PASSWORD,
        }
        body = {"storage": "local", "name": "hub", "kind": "proxy", "visibility": "public"}
        content = json.dumps(body | {"upstream": source}).encode()
        status, _, said = two.call("POST", "/api/v1/repositories", content)
        assert status == 201, said
        connections = list(two.both().values())
        paths = ("manifests/v1", f"blobs/{digest_of(layer)}", f"blobs/{digest_of(b'{}')}")

        for each in connections * 2:
            for path in paths:
                assert ask(each, "GET", f"/v2/local/hub/app/{path}")[0] == 200

        found = [
            json.loads(two.call("GET", "/api/v1/repositories/local/hub")[2])["health"]
            for _ in range(4)
        ]
    assert {each["hits"] + each["misses"] for each in found} == {12}
    assert {each["bytes_fetched"] for each in found} == {found[0]["bytes_fetched"]}
    assert len(layer) < found[0]["bytes_fetched"] < len(layer) + 2000
    assert {each["state"] for each in found} == {"ok"}
