"""A proxy repository on a full disk: blobs are passed on, checked all the same, and not kept."""

import pytest
from msgspec.structs import replace

from tests.frontend.live import running
from tests.frontend.sources import Gate, cut, saying
from tests.proxy.pulling import SIZE, layer, proxy_of, settings_in, take
from tests.upstream.faulty import answer


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    said = settings_in(folder, connections=2)
    settings = replace(said, storage=replace(said.storage, min_free_bytes=1 << 60))
    with running(folder / "data", settings) as server:
        yield server
        assert list((folder / "data" / "uploads").iterdir()) == []
        assert server.client.post("/api/v1/fsck").json()["drift"] == []


def test_wrong_bytes_end_the_connection(full, far):
    content = layer()
    digest = far.blob(content)
    far.misbehave("GET", digest, saying(answer(200, layer()), keeps=True))
    path = f"/v2/{proxy_of(full, far)}/app/blobs/{digest}"

    assert not take(full, path)[2]
    assert take(full, path) == (200, content, True)


@pytest.mark.slow
def test_a_blob_that_is_cut_short_is_gone_on_with(full, far):
    content = layer()
    digest = far.blob(content)
    far.misbehave("GET", digest, cut(content, 100_000, said=SIZE))

    assert take(full, f"/v2/{proxy_of(full, far)}/app/blobs/{digest}") == (200, content, True)


@pytest.mark.parametrize("content", [b"", layer()], ids=["empty", "not empty"])
def test_what_is_said_to_be_empty_is_so(full, far, content):
    digest = far.blob(content)
    far.always("HEAD", digest, saying(answer(200, b""), keeps=True))
    far.always("GET", digest, saying(answer(200, b""), keeps=True))

    status, body, _ = take(full, f"/v2/{proxy_of(full, far)}/app/blobs/{digest}")

    assert (status, body) == (200, b"") if not content else status == 502


def test_those_who_leave_keep_no_connection_to_the_upstream(full, far):
    content = layer()
    digest = far.blob(content)
    path = f"/v2/{proxy_of(full, far)}/app/blobs/{digest}"
    for _ in range(10):
        gate = Gate(content, 1000)
        far.misbehave("GET", digest, gate)
        with full.connect() as peer:
            peer.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert gate.is_reached.wait(10)
        gate.open()

    assert take(full, path) == (200, content, True)
