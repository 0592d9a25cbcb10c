"""Proxy repositories over the wire, with another Orlop as their upstream."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from frontend.domain.manifests import OCI_INDEX, OCI_MANIFEST
from tests.frontend.live import codes, digest_of, running
from tests.frontend.people import person
from tests.frontend.proxying import LAYER, fetched, new_proxy, push, put
from tests.frontend.world import image_json, index_bytes


@pytest.fixture(scope="module")
def proxy(live, upstream):
    """A public proxy repository of all that the upstream has in local/images."""
    return new_proxy(live, upstream, visibility="public")


def test_an_image_is_pulled_through_by_anybody_and_kept(live, upstream, proxy):
    name = secrets.token_hex(4)
    digest = push(upstream, name, "v1")

    manifest = live.stranger.get(f"/v2/{proxy}/{name}/manifests/v1")
    layer = live.stranger.get(f"/v2/{proxy}/{name}/blobs/{digest_of(LAYER)}")
    config = live.stranger.get(f"/v2/{proxy}/{name}/blobs/{digest_of(b'{}')}")

    assert manifest.headers["Docker-Content-Digest"] == digest
    assert manifest.headers["Content-Type"] == OCI_MANIFEST
    assert (layer.content, config.content) == (LAYER, b"{}")
    upstream.client.delete(f"/v2/local/images/{name}/manifests/{digest}")
    again = live.stranger.get(f"/v2/{proxy}/{name}/manifests/{digest}")
    assert again.content == manifest.content
    assert live.stranger.get(f"/v2/{proxy}/{name}/blobs/{digest_of(LAYER)}").content == LAYER


def test_what_the_upstream_has_not_is_404(live, proxy):
    for path in ("manifests/none", f"manifests/{digest_of(b'none')}", f"blobs/{digest_of(b'no')}"):
        for method in ("GET", "HEAD"):
            answer = live.stranger.request(method, f"/v2/{proxy}/nothing/{path}")
            assert answer.status_code == 404, path
    assert codes(live.stranger.get(f"/v2/{proxy}/nothing/manifests/x")) == ["MANIFEST_UNKNOWN"]


def test_head_of_what_is_not_here_says_what_get_would(live, upstream, proxy):
    name = secrets.token_hex(4)
    layer = secrets.token_bytes(100_000)
    push(upstream, name, "v1", layer)
    path = f"/v2/{proxy}/{name}/blobs/{digest_of(layer)}"

    head = live.stranger.head(path)
    got = live.stranger.get(path)

    assert (head.status_code, head.headers["Content-Length"]) == (200, "100000")
    assert head.headers["Docker-Content-Digest"] == got.headers["Docker-Content-Digest"]
    assert got.content == layer


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=500000-", slice(500_000, 1 << 20)),
        ("bytes=-7", slice((1 << 20) - 7, 1 << 20)),
    ],
)
def test_a_range_of_what_is_not_here_is_answered(live, upstream, proxy, said, part):
    name = secrets.token_hex(4)
    layer = secrets.token_bytes(1 << 20)
    push(upstream, name, "v1", layer)

    answer = live.stranger.get(
        f"/v2/{proxy}/{name}/blobs/{digest_of(layer)}", headers={"Range": said}
    )

    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {part.start}-{part.stop - 1}/{1 << 20}"
    assert answer.content == layer[part]


def test_an_index_is_kept_as_it_is_and_its_parts_come_when_they_are_asked_for(
    live, upstream, proxy
):
    name = secrets.token_hex(4)
    first = push(upstream, name, "a")
    second = push(upstream, name, "b", secrets.token_bytes(10))
    both = [{"mediaType": OCI_MANIFEST, "digest": each, "size": 2} for each in (first, second)]
    content = index_bytes(*both)
    put(upstream, f"local/images/{name}", "all", content, OCI_INDEX)

    index = live.stranger.get(f"/v2/{proxy}/{name}/manifests/all")
    child = live.stranger.get(f"/v2/{proxy}/{name}/manifests/{second}")

    assert (index.content, index.headers["Content-Type"]) == (content, OCI_INDEX)
    assert child.headers["Docker-Content-Digest"] == second


def test_a_fresh_tag_is_not_asked_for_and_an_old_one_moves(live, upstream):
    fresh = new_proxy(live, upstream, tag_ttl_seconds=1000)
    eager = new_proxy(live, upstream, tag_ttl_seconds=0)
    name = secrets.token_hex(4)
    first = push(upstream, name, "t")

    def seen(repository):
        answer = live.client.get(f"/v2/{repository}/{name}/manifests/t")
        return answer.headers["Docker-Content-Digest"]

    assert (seen(fresh), seen(eager)) == (first, first)
    second = push(upstream, name, "t", b"moved")
    assert (seen(fresh), seen(eager)) == (first, second)
    assert (seen(fresh), seen(eager)) == (first, second)


def test_a_tag_that_the_upstream_took_away_goes(live, upstream):
    eager = new_proxy(live, upstream, tag_ttl_seconds=0)
    name = secrets.token_hex(4)
    digest = push(upstream, name, "t")
    path = f"/v2/{eager}/{name}/manifests"
    assert live.client.get(f"{path}/t").status_code == 200
    upstream.client.delete(f"/v2/local/images/{name}/manifests/t")

    gone = live.client.get(f"{path}/t")

    assert gone.status_code == 404
    assert live.client.get(f"{path}/{digest}").status_code == 200


def test_when_the_upstream_is_gone_what_is_here_is_served_with_a_warning(live, tmp_path):
    with running(tmp_path / "data") as mortal:
        eager = new_proxy(live, mortal, tag_ttl_seconds=0)
        digest = push(mortal, "app", "t")
        live.client.get(f"/v2/{eager}/app/manifests/t")
        live.client.get(f"/v2/{eager}/app/blobs/{digest_of(LAYER)}")

    stale = live.client.get(f"/v2/{eager}/app/manifests/t")
    by_digest = live.client.get(f"/v2/{eager}/app/manifests/{digest}")
    blob = live.client.get(f"/v2/{eager}/app/blobs/{digest_of(LAYER)}")
    other = live.client.get(f"/v2/{eager}/app/manifests/other")

    assert stale.headers["Docker-Content-Digest"] == digest
    assert stale.headers["Warning"].startswith('299 - "stale: ')
    assert "Warning" not in by_digest.headers
    assert blob.content == LAYER
    assert other.status_code in (502, 503, 504)
    assert "127.0.0.1" not in other.text


def test_offline_serves_what_is_here_and_asks_nothing(live, upstream):
    name = secrets.token_hex(4)
    repository = new_proxy(live, upstream, tag_ttl_seconds=0)
    push(upstream, name, "t")
    path = f"/v2/{repository}/{name}"
    assert live.client.get(f"{path}/manifests/t").status_code == 200
    change = {"upstream": {"offline": True}}
    assert live.client.patch(f"/api/v1/repositories/{repository}", json=change).status_code == 200
    upstream.client.delete(f"/v2/local/images/{name}/manifests/t")

    assert live.client.get(f"{path}/manifests/t").status_code == 200
    assert live.client.get(f"{path}/blobs/{digest_of(LAYER)}").status_code == 404
    assert live.client.get(f"{path}/tags/list").json()["tags"] == ["t"]


def test_writes_are_405(live, proxy):
    image = f"/v2/{proxy}/app"
    asked = [
        live.client.post(f"{image}/blobs/uploads/"),
        live.client.post(f"{image}/blobs/uploads/", params={"mount": digest_of(b"x")}),
        live.client.put(f"{image}/manifests/t", content=b"{}"),
        live.client.delete(f"{image}/manifests/t"),
        live.client.delete(f"{image}/blobs/{digest_of(b'x')}"),
        live.client.patch(f"{image}/blobs/uploads/none"),
    ]

    assert [answer.status_code for answer in asked] == [405] * len(asked)
    assert {codes(answer)[0] for answer in asked} == {"UNSUPPORTED"}


def test_a_cached_image_is_removed_as_a_package(live, upstream):
    repository = new_proxy(live, upstream, tag_ttl_seconds=1000)
    name = secrets.token_hex(4)
    push(upstream, name, "t")
    live.client.get(f"/v2/{repository}/{name}/manifests/t")
    body = {"items": [{"image": name, "tag": "t"}]}

    answer = live.client.request("DELETE", f"/api/v1/repositories/{repository}/packages", json=body)

    assert answer.json()["deleted"] == [{"image": name, "tag": "t"}]
    assert live.client.get(f"/v2/{repository}/{name}/manifests/t").status_code == 200


def test_tags_are_those_of_the_upstream_and_come_in_pages(live, upstream):
    repository = new_proxy(live, upstream)
    name = secrets.token_hex(4)
    for tag in ("c", "a", "b"):
        push(upstream, name, tag)
    path = f"/v2/{repository}/{name}/tags/list"

    first = live.client.get(path, params={"n": 2})
    second = live.client.get(path, params={"n": 2, "last": "b"})

    assert first.json() == {"name": f"{repository}/{name}", "tags": ["a", "b"]}
    assert f"</v2/{repository}/{name}/tags/list?n=2&last=b>" in first.headers["Link"]
    assert second.json()["tags"] == ["c"]
    assert live.client.get(f"/v2/{repository}/none/tags/list").status_code == 404


def test_referrers_are_those_of_the_upstream_and_those_here(live, upstream):
    repository = new_proxy(live, upstream)
    name = secrets.token_hex(4)
    subject = push(upstream, name, "t")
    image = f"local/images/{name}"
    kinds = ("a/sbom", "b/sig")
    for kind in kinds:
        content = image_json(
            subject={"mediaType": OCI_MANIFEST, "digest": subject, "size": 2}, artifactType=kind
        )
        put(upstream, image, kind.replace("/", "-"), str(content).replace("'", '"').encode())

    path = f"/v2/{repository}/{name}/referrers/{subject}"
    listed = live.client.get(path)
    filtered = live.client.get(path, params={"artifactType": "b/sig"})

    assert {each["artifactType"] for each in listed.json()["manifests"]} == set(kinds)
    assert [each["artifactType"] for each in filtered.json()["manifests"]] == ["b/sig"]
    one = listed.json()["manifests"][0]["digest"]
    assert live.client.get(f"/v2/{repository}/{name}/manifests/{one}").status_code == 200
    again = live.client.get(path).json()["manifests"]
    assert len(again) == 2


def test_a_private_proxy_is_for_those_with_a_role(live, upstream):
    repository = new_proxy(live, upstream)
    name = secrets.token_hex(4)
    push(upstream, name, "t")
    somebody, reader = person(live), person(live)
    reader.grant(repository, "reader")
    path = f"/v2/{repository}/{name}/manifests/t"

    assert live.stranger.get(path).status_code == 401
    assert somebody.ask("GET", path).status_code == 404
    assert reader.ask("GET", path).status_code == 200


def test_many_who_want_the_same_get_it_by_one_download(live, upstream):
    repository = new_proxy(live, upstream, visibility="public")
    name = secrets.token_hex(4)
    layer = secrets.token_bytes(8 << 20)
    push(upstream, name, "t", layer)
    path = f"/v2/{repository}/{name}/blobs/{digest_of(layer)}"

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: httpx.get(live.url + path), range(16)))

    assert {digest_of(answer.content) for answer in answers} == {digest_of(layer)}
    assert len(layer) <= fetched(live, repository) <= 1.02 * len(layer)


def test_another_repository_takes_what_is_here_only_when_its_own_upstream_has_it(live, upstream):
    first, second = new_proxy(live, upstream), new_proxy(live, upstream)
    name = secrets.token_hex(4)
    layer = secrets.token_bytes(1 << 20)
    push(upstream, name, "t", layer)
    hosted = secrets.token_bytes(1 << 20)
    live.push(live.image(), hosted)
    path = f"{name}/blobs/{digest_of(layer)}"
    live.client.get(f"/v2/{first}/{path}")

    shared = live.client.get(f"/v2/{second}/{path}")
    stolen = live.client.get(f"/v2/{second}/{name}/blobs/{digest_of(hosted)}")

    assert shared.content == layer
    assert fetched(live, second) == 0
    assert stolen.status_code == 404
