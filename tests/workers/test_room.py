"""Room in a proxy repository that several workers fill at once."""

import json
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.frontend.live import PASSWORD, digest_of, running, wait_until
from tests.frontend.proxying import push
from tests.workers.servers import ask, serving

pytestmark = pytest.mark.slow

SIZE = 200_000  # bytes of a layer
MOST = 3 * SIZE


def test_workers_keep_to_the_limit_together(tmp_path):
    (own := tmp_path / "own").mkdir()
    with (
        running(tmp_path / "upstream") as upstream,
        serving(own, "--workers", "2") as server,
    ):
        server.wait_greeting()
        layers = [secrets.token_bytes(SIZE) for _ in range(12)]
        for number, layer in enumerate(layers):
            push(upstream, "app", f"v{number}", layer)
        source = {"url": f"{upstream.url}/local/images", "username": "admin"}
        source |= {"password": PASSWORD, "max_bytes": MOST}
        body = {"storage": "local", "name": "hub", "kind": "proxy", "upstream": source}
        status, _, said = server.call("POST", "/api/v1/repositories", json.dumps(body).encode())
        assert status == 201, said

        def pull(connection, numbers) -> None:
            for number in numbers:
                paths = (f"manifests/v{number}", f"blobs/{digest_of(layers[number])}")
                for path in paths:
                    status, _, content = ask(connection, "GET", f"/v2/local/hub/app/{path}")
                    assert status == 200
                assert content == layers[number]

        def size() -> int:
            return json.loads(server.call("GET", "/api/v1/repositories/local/hub")[2])["size"]

        one, other = server.both().values()
        with ThreadPoolExecutor(2) as pool:
            [*pool.map(pull, (one, other), (range(8), range(11, 3, -1)))]
        pull(one, [0])
        wait_until(lambda: size() <= MOST)

        status, _, found = server.call("POST", "/api/v1/fsck")
        assert (status, json.loads(found)["drift"]) == (200, [])
        assert size() >= SIZE
