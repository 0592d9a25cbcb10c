"""Manifests of upstreams that do wrong, and tags that move while they are looked at."""

import pytest

from frontend.domain.manifests import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from index.errors import NoSpace
from tests.frontend.live import digest_of
from tests.frontend.sources import manifest_answer, saying
from tests.frontend.world import index_bytes
from tests.proxy.pulling import is_kept, layer
from tests.upstream.faulty import answer


def test_a_tag_that_changes_between_head_and_get_is_what_get_brought(live, far, proxy):
    far.image(layer(10))
    path = f"/v2/{proxy}/app/manifests/t"
    live.stranger.get(path)
    second = far.image(layer(11))
    seen = far.manifests["t"]
    third = far.image(layer(12))
    far.misbehave("HEAD", "/t", saying(manifest_answer(*seen, "HEAD"), keeps=True))

    moved = live.stranger.get(path)

    assert moved.headers["Docker-Content-Digest"] == third != second
    assert digest_of(moved.content) == third


def test_a_head_without_a_digest_is_followed_by_a_get(live, far, proxy):
    digest = far.image(layer(10))
    path = f"/v2/{proxy}/app/manifests/t"
    live.stranger.get(path)
    far.always("HEAD", "/t", saying(answer(200, b"", length=100), keeps=True))

    assert live.stranger.get(path).headers["Docker-Content-Digest"] == digest
    moved = far.image(layer(11))
    assert live.stranger.get(path).headers["Docker-Content-Digest"] == moved


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_manifest_that_is_not_what_its_digest_says_is_an_error(live, far, proxy, method):
    digest = far.image(layer(10))
    far.always("GET", digest, saying(manifest_answer(b"{}"), keeps=True))

    reply = live.stranger.request(method, f"/v2/{proxy}/app/manifests/{digest}")

    assert reply.status_code == 502
    assert not is_kept(live, b"{}")


def test_a_tag_whose_manifest_is_not_what_the_upstream_says_keeps_the_one_before(live, far, proxy):
    first = far.image(layer(10))
    path = f"/v2/{proxy}/app/manifests/t"
    live.stranger.get(path)
    far.image(layer(11))
    content, kind = far.manifests["t"]
    wrong = manifest_answer(content, kind).replace(digest_of(content).encode(), first.encode())
    far.always("GET", "/t", saying(wrong, keeps=True))

    reply = live.stranger.get(path)

    assert reply.headers["Docker-Content-Digest"] == first
    assert reply.headers["Warning"].startswith("299")


def test_a_manifest_beyond_the_limit_is_an_error_and_not_kept(live, far, proxy):
    digest = far.image(layer(10), annotations={"big": "x" * (1 << 20)})

    for reference in ("t", digest):
        assert live.stranger.get(f"/v2/{proxy}/app/manifests/{reference}").status_code == 502
    assert not is_kept(live, far.manifests["t"][0])


def test_a_manifest_that_comes_encoded_is_an_error(live, far, proxy):
    far.image(layer(10))
    content, kind = far.manifests["t"]
    far.always("GET", "/t", saying(manifest_answer(content, kind, "GET", "Content-Encoding: gzip")))

    assert live.stranger.get(f"/v2/{proxy}/app/manifests/t").status_code == 502


def test_a_manifest_that_comes_in_chunks_without_a_length_is_kept(live, far, proxy):
    digest = far.image(layer(10))
    content, kind = far.manifests["t"]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in content) + b"0\r\n\r\n"
    far.misbehave("GET", "/t", saying(head, chunks))

    reply = live.stranger.get(f"/v2/{proxy}/app/manifests/t")

    assert (digest_of(reply.content), reply.headers["Content-Type"]) == (digest, kind)


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        (OCI_MANIFEST, b'"layers"'),
        (DOCKER_MANIFEST, b'"layers"'),
        (OCI_INDEX, b'"manifests"'),
        (DOCKER_LIST, b'"manifests"'),
        ("application/x.other.v1+json", b'"others"'),
    ],
)
def test_media_types_and_bytes_are_those_of_the_upstream(live, far, proxy, kind, parts):
    config = b'"config": {"mediaType":"x/y","digest":"%s","size":2},' % digest_of(b"{}").encode()
    content = b'{ "schemaVersion":2,\n%s %s:[] }' % (b"" if b"man" in parts else config, parts)
    digest = far.manifest(content, "t", kind=kind)
    path = f"/v2/{proxy}/app/manifests"

    by_tag, by_digest = live.stranger.get(f"{path}/t"), live.stranger.get(f"{path}/{digest}")
    head = live.stranger.head(f"{path}/t")

    assert (by_tag.content, by_digest.content) == (content, content)
    assert {each.headers["Content-Type"] for each in (by_tag, by_digest, head)} == {kind}


def test_an_index_without_its_children_is_kept_and_they_are_missing(live, far, proxy):
    gone = digest_of(layer(10))
    content = index_bytes({"mediaType": OCI_MANIFEST, "digest": gone, "size": 10})
    far.manifest(content, "t", kind=OCI_INDEX)

    assert live.stranger.get(f"/v2/{proxy}/app/manifests/t").content == content
    assert live.stranger.get(f"/v2/{proxy}/app/manifests/{gone}").status_code == 404


@pytest.mark.parametrize("content", [b"", b"not json", b"[]", b'{"schemaVersion":1}', b"[" * 5000])
def test_a_manifest_that_is_none_is_an_error(live, far, proxy, content):
    far.manifest(content, "t")

    assert live.stranger.get(f"/v2/{proxy}/app/manifests/t").status_code == 502


def test_a_tag_that_is_here_is_answered_when_nothing_can_be_written(live, far, proxy, monkeypatch):
    digest = far.image(layer(10))
    path = f"/v2/{proxy}/app/manifests"
    live.stranger.get(f"{path}/t")
    far.image(layer(11))

    async def full(changes, expectations=()):
        raise NoSpace

    monkeypatch.setattr(live.registry.store, "commit", full)
    stale, other = live.stranger.get(f"{path}/t"), live.stranger.get(f"{path}/other")

    assert stale.headers["Docker-Content-Digest"] == digest
    assert stale.headers["Warning"] == '299 - "stale: this registry cannot keep what is new"'
    assert other.status_code == 404
    assert live.stranger.get(f"{path}/{digest}").status_code == 200
