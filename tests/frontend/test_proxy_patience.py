"""A proxy repository whose upstream is silent, or whose own disk lost what it kept."""

import socket

from cas.digest import Digest
from frontend.settings import Http, Settings, Storage
from tests.frontend.live import digest_of, running, wait_until
from tests.frontend.proxying import LAYER, new_proxy, push
from tests.frontend.spoiling import scrub, serving_spoilt, spoil


def test_a_tag_that_is_here_is_not_waited_for_long(live, tmp_path, monkeypatch):
    monkeypatch.setattr("frontend.proxy.manifests.PATIENCE_SECONDS", 0.2)
    with running(tmp_path / "data") as mortal:
        eager = new_proxy(live, mortal, tag_ttl_seconds=0)
        digest = push(mortal, "app", "t")
        live.client.get(f"/v2/{eager}/app/manifests/t")
        address = mortal.address
    with socket.create_server(address):  # it takes connections, and says nothing
        answer = live.client.get(f"/v2/{eager}/app/manifests/t")

    assert answer.headers["Docker-Content-Digest"] == digest
    assert "does not answer" in answer.headers["Warning"]


def test_what_the_disk_lost_is_fetched_again(tmp_path, upstream):
    with serving_spoilt(tmp_path / "data") as own:
        repository = new_proxy(own, upstream)
        push(upstream, "lost", "t")
        path = f"/v2/{repository}/lost/blobs/{digest_of(LAYER)}"
        own.client.get(f"/v2/{repository}/lost/manifests/t")
        assert own.client.get(path).content == LAYER
        # The client has the last byte when it is known to be right; it may not be kept yet.
        key = Digest.parse(digest_of(LAYER)).key
        wait_until(lambda: own.registry.store.read(lambda view: view.object(key)))
        spoil(own, LAYER)
        scrub(own)

        assert own.client.get(path).content == LAYER
        assert own.client.post("/api/v1/fsck").json()["drift"] == []


def test_a_full_disk_ends_no_pull(tmp_path, upstream):
    settings = Settings(
        http=Http(listen="127.0.0.1:0", shutdown_seconds=2),
        storage=Storage(data=str(tmp_path / "data"), min_free_bytes=1 << 60),
    )
    with running(tmp_path / "data", settings) as full:
        repository = new_proxy(full, upstream)
        push(upstream, "full", "t")
        path = f"/v2/{repository}/full"

        manifest = full.client.get(f"{path}/manifests/t")
        blob = full.client.get(f"{path}/blobs/{digest_of(LAYER)}", headers={"Range": "bytes=5-9"})

        assert manifest.status_code == 200
        assert (blob.status_code, blob.content) == (200, LAYER)
        assert list((tmp_path / "data" / "uploads").iterdir()) == []
