"""Whose bytes a proxy repository gives away: what its own upstream confirmed."""

import re
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.frontend.live import codes, digest_of, wait_until
from tests.frontend.people import person, repository
from tests.frontend.proxying import new_proxy
from tests.frontend.sources import Gate, source
from tests.proxy.pulling import is_kept, layer, proxy_of, take, uploads


def test_a_cached_blob_is_unknown_to_a_proxy_whose_upstream_does_not_confirm_it(live, far, proxy):
    content = layer()
    digest = far.blob(content)
    take(live, f"/v2/{proxy}/app/blobs/{digest}")
    hosted = layer()
    live.push(live.image(), hosted)
    with source() as poor:
        other = proxy_of(live, poor)
        for wanted in (digest, digest_of(hosted)):
            cached = live.stranger.get(f"/v2/{other}/app/blobs/{wanted}")
            nowhere = live.stranger.get(f"/v2/{other}/app/blobs/{digest_of(layer(10))}")

            assert (cached.status_code, nowhere.status_code) == (404, 404)
            assert cached.text.replace(wanted, "") == re.sub(r"sha256:\w+", "", nowhere.text)
            assert live.stranger.head(f"/v2/{other}/app/blobs/{wanted}").status_code == 404


def test_a_blob_under_way_is_unknown_to_a_proxy_whose_upstream_does_not_confirm_it(
    live, far, proxy
):
    content = layer()
    digest = far.blob(content)
    gate = Gate(content, 100_000)
    far.misbehave("GET", digest, gate)
    with source() as poor, ThreadPoolExecutor(1) as pool:
        other = proxy_of(live, poor)
        first = pool.submit(take, live, f"/v2/{proxy}/app/blobs/{digest}")
        gate.is_reached.wait()

        stolen = live.stranger.get(f"/v2/{other}/app/blobs/{digest}")
        gate.open()

        assert (stolen.status_code, codes(stolen)) == (404, ["BLOB_UNKNOWN"])
        assert first.result() == (200, content, True)
        assert [each.method for each in poor.requests] == ["HEAD"]


def test_a_blob_under_way_is_shared_with_a_proxy_whose_upstream_confirms_it(live, far, proxy):
    content = layer()
    digest = far.blob(content)
    gate = Gate(content, 100_000)
    far.misbehave("GET", digest, gate)
    with source() as rich, ThreadPoolExecutor(2) as pool:
        rich.blob(content)
        other = proxy_of(live, rich)
        first = pool.submit(take, live, f"/v2/{proxy}/app/blobs/{digest}")
        gate.is_reached.wait()
        second = pool.submit(take, live, f"/v2/{other}/app/blobs/{digest}")
        wait_until(lambda: rich.requests)
        gate.open()

        assert first.result() == second.result() == (200, content, True)
        assert [each.method for each in rich.requests] == ["HEAD"]


def test_wrong_bytes_of_one_upstream_are_not_the_others(live, far):
    content = layer()
    digest = far.blob(content)
    gate = Gate(layer(), 100_000)
    with source() as bad, ThreadPoolExecutor(2) as pool:
        bad.blobs[digest] = content
        bad.misbehave("GET", digest, gate)
        first, second = proxy_of(live, bad), proxy_of(live, far)
        poisoned = pool.submit(take, live, f"/v2/{first}/app/blobs/{digest}")
        gate.is_reached.wait()
        joined = pool.submit(take, live, f"/v2/{second}/app/blobs/{digest}")
        wait_until(lambda: far.requests)
        gate.open()

        assert not poisoned.result()[2]
        assert not joined.result()[2] or joined.result()[1] == content
        assert take(live, f"/v2/{second}/app/blobs/{digest}") == (200, content, True)


def test_a_repository_that_is_deleted_while_a_blob_comes_keeps_nothing(live, far, proxy):
    content = layer()
    digest = far.blob(content)
    gate = Gate(content, 100_000)
    far.misbehave("GET", digest, gate)
    with ThreadPoolExecutor(1) as pool:
        pulled = pool.submit(take, live, f"/v2/{proxy}/app/blobs/{digest}")
        gate.is_reached.wait()
        gone = live.client.delete(f"/api/v1/repositories/{proxy}")
        gate.open()
        pulled.result()

    assert gone.status_code < 300
    wait_until(lambda: uploads(live) == [])
    assert live.stranger.get(f"/v2/{proxy}/app/blobs/{digest}").status_code in (401, 404)
    assert threading.active_count() < 100


def test_for_strangers_a_private_proxy_is_like_none_and_asks_nothing(live, far):
    content = layer()
    digest = far.image(content)
    proxy = new_proxy(live, far, url=far.url, username="", password="")
    for path in ("manifests/t", f"blobs/{digest_of(content)}"):
        assert live.client.get(f"/v2/{proxy}/app/{path}").status_code == 200
    wait_until(lambda: is_kept(live, content))
    somebody, before = person(live), len(far.requests)
    none = f"local/p{secrets.token_hex(4)}"
    asked = ("manifests/t", f"manifests/{digest}", f"blobs/{digest_of(content)}", "tags/list",
             f"referrers/{digest}", f"blobs/{digest_of(layer(10))}", "manifests/u")  # fmt: skip

    for path in asked:
        for method in ("GET", "HEAD"):
            for ask in (live.stranger.request, somebody.ask):
                cached, missing = (ask(method, f"/v2/{name}/app/{path}") for name in (proxy, none))
                assert cached.status_code == missing.status_code in (401, 404)
                assert cached.text.replace(proxy, none) == missing.text
                assert set(cached.headers) == set(missing.headers)

    assert len(far.requests) == before


def test_a_private_proxys_blob_is_mounted_by_nobody_who_may_not_pull_it(live, far):
    content = layer()
    digest = far.blob(content)
    proxy = new_proxy(live, far, url=far.url, username="", password="")
    assert live.client.get(f"/v2/{proxy}/app/blobs/{digest}").content == content
    wait_until(lambda: is_kept(live, content))
    somebody, own = person(live), repository(live)
    somebody.grant(own, "writer")

    tried = somebody.ask(
        "POST", f"/v2/{own}/app/blobs/uploads/", params={"mount": digest, "from": f"{proxy}/app"}
    )

    assert tried.status_code == 202
    assert somebody.ask("DELETE", tried.headers["Location"]).status_code == 204
