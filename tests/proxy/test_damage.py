"""What is damaged here is fetched again, from an upstream that has it."""

import pytest

from tests.frontend.live import digest_of, wait_until
from tests.frontend.spoiling import scrub, serving_spoilt, spoil, spoil_in_index
from tests.proxy.pulling import SIZE, is_kept, layer, proxy_of, take


@pytest.fixture
def server(tmp_path):
    with serving_spoilt(tmp_path / "data") as live:
        yield live


def test_a_blob_that_is_damaged_here_is_fetched_again(server, far):
    content = layer(SIZE)
    path = f"/v2/{proxy_of(server, far)}/app/blobs/{far.blob(content)}"
    assert take(server, path) == (200, content, True)
    wait_until(lambda: is_kept(server, content))
    spoil(server, content)
    scrub(server)

    assert take(server, path) == (200, content, True)
    wait_until(lambda: server.client.get("/api/v1/scrub").json()["damaged"] == [])
    assert take(server, path) == (200, content, True)
    assert len(far.asked("GET", digest_of(content))) == 2
    assert server.client.post("/api/v1/fsck").json()["drift"] == []


def test_a_manifest_that_is_damaged_here_is_fetched_again(server, far):
    digest = far.image(layer(10))
    path = f"/v2/{proxy_of(server, far, tag_ttl_seconds=1000)}/app/manifests"
    assert take(server, f"{path}/t")[0] == 200
    content = far.manifests["t"][0]
    spoil_in_index(server, content)
    scrub(server)

    for reference in ("t", digest):
        assert take(server, f"{path}/{reference}") == (200, content, True)
    assert server.client.post("/api/v1/fsck").json()["drift"] == []


def test_an_image_with_a_damaged_layer_is_pulled_whole(server, far):
    content = layer(SIZE)
    digest = far.image(content)
    base = f"/v2/{proxy_of(server, far)}/app"
    assert take(server, f"{base}/manifests/t")[0] == 200
    assert take(server, f"{base}/blobs/{digest_of(content)}") == (200, content, True)
    wait_until(lambda: is_kept(server, content))
    spoil(server, content)
    scrub(server)

    for reference in ("t", digest):
        assert take(server, f"{base}/manifests/{reference}")[0] == 200
    assert take(server, f"{base}/blobs/{digest_of(content)}") == (200, content, True)
