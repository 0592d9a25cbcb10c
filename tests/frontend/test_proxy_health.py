"""How proxy repositories are doing, in the API and for Prometheus; 429 and Retry-After."""

import secrets
from functools import partial

import pytest
from prometheus_client.parser import text_string_to_metric_families

from frontend.settings import Http, Limits, Settings, Storage
from tests.frontend.live import codes, digest_of, running, wait_until
from tests.frontend.people import person
from tests.frontend.proxying import LAYER, new_proxy, push


def health(live, repository, client=None):
    answer = (client or live.client.get)(f"/api/v1/repositories/{repository}")
    assert answer.status_code == 200, answer.text
    return answer.json()["health"]


def member(live, repository, role):
    """A client of somebody with a role."""
    somebody = person(live)
    somebody.grant(repository, role)
    return partial(somebody.ask, "GET")


def pull(live, repository, name, layer=LAYER):
    """A tag and its layer."""
    for path in ("manifests/v1", f"blobs/{digest_of(layer)}"):
        assert live.client.get(f"/v2/{repository}/{name}/{path}").status_code == 200
        wait_until(lambda: not live.registry.proxy.transfers._running)  # until it is kept


def test_hits_misses_and_bytes_are_counted(live, upstream):
    repository, name = new_proxy(live, upstream), secrets.token_hex(4)
    layer = secrets.token_bytes(1 << 20)
    push(upstream, name, "v1", layer)
    fresh = health(live, repository)
    before = live.client.get("/api/v1/stats").json()

    pull(live, repository, name, layer)
    cold = health(live, repository)
    pull(live, repository, name, layer)
    warm = health(live, repository)

    assert (fresh["state"], fresh["requests"], fresh["hits"]) == ("unknown", 0, 0)
    assert (cold["state"], cold["hits"], cold["misses"]) == ("ok", 0, 2)
    assert len(layer) < cold["bytes_fetched"] < len(layer) + 2000
    assert (warm["hits"], warm["misses"], warm["failures"]) == (2, 2, 0)
    assert warm["bytes_served"] == warm["bytes_fetched"] == cold["bytes_fetched"]
    assert warm["requests"] == cold["requests"] >= 2
    after = live.client.get("/api/v1/stats").json()
    assert after["cache_hits"] == before["cache_hits"] + 2
    assert after["cache_bytes_served"] == before["cache_bytes_served"] + warm["bytes_served"]


def test_a_hosted_repository_has_no_health(live):
    assert live.client.get("/api/v1/repositories/local/images").json()["health"] is None


def test_a_source_that_is_gone_is_told_but_its_address_to_administrators_alone(live, tmp_path):
    name = secrets.token_hex(4)
    with running(tmp_path / "data") as gone:
        repository = new_proxy(live, gone, visibility="public", tag_ttl_seconds=0)
        push(gone, name, "v1")
        pull(live, repository, name)
    for _ in range(4):
        live.client.get(f"/v2/{repository}/{name}/manifests/v1")
        live.client.get(f"/v2/{repository}/{name}/manifests/{secrets.token_hex(4)}")
    reader = member(live, repository, "reader")
    owner = member(live, repository, "admin")

    shown = health(live, repository)
    to_reader = health(live, repository, reader)
    to_owner = health(live, repository, owner)

    assert shown["state"] == "resting"
    assert shown["stale_served"] >= 1
    assert shown["failures"] >= 3
    assert shown["retry_in_seconds"] > 0
    assert shown["last_error"]
    assert shown["last_error_at"]
    assert (to_reader["state"], to_reader["last_error"]) == ("resting", None)
    assert to_owner["last_error"] == shown["last_error"]


def test_wrong_credentials_are_told(live, upstream):
    repository = new_proxy(live, upstream, password=secrets.token_hex(8))

    answer = live.client.get(f"/v2/{repository}/app/manifests/v1")
    shown = health(live, repository)

    assert answer.status_code == 502
    assert (shown["state"], shown["misses"]) == ("failing", 1)
    assert "401" in shown["last_error"]


def test_proxies_are_listed_with_what_all_of_them_save(live, upstream):
    name = secrets.token_hex(4)
    push(upstream, name, "v1")
    repositories = sorted(new_proxy(live, upstream) for _ in range(3))
    before = live.client.get("/api/v1/proxies").json()
    for repository in repositories[:2]:
        pull(live, repository, name)
        pull(live, repository, name)

    after = live.client.get("/api/v1/proxies").json()

    shown = {f"{each['storage']}/{each['name']}": each for each in after["items"]}
    assert list(shown) == sorted(shown)
    assert set(repositories) <= set(shown)
    assert "local/images" not in shown
    for repository in repositories:
        one = live.client.get(f"/api/v1/repositories/{repository}").json()
        assert shown[repository] == one
    assert after["hits"] - before["hits"] == 4
    assert after["misses"] - before["misses"] == 4
    assert after["bytes_served"] > before["bytes_served"]
    assert after["total"] == len(shown)
    second = live.client.get("/api/v1/proxies?page=2&per_page=1").json()
    assert [each["name"] for each in second["items"]] == [after["items"][1]["name"]]
    assert second["total"] == after["total"]


def test_an_offline_repository_says_so(live, upstream):
    repository = new_proxy(live, upstream, offline=True)

    assert health(live, repository)["state"] == "offline"


# --- 429 ---


def test_a_limit_of_the_upstream_is_told_with_its_time_where_nothing_is_here(live, tmp_path):
    limits = Limits(requests_per_second=0.01, burst=30)
    settings = Settings(
        http=Http(listen="127.0.0.1:0"), storage=Storage(data=str(tmp_path)), limits=limits
    )
    name = secrets.token_hex(4)
    with running(tmp_path, settings) as limited:
        repository = new_proxy(live, limited, visibility="public", tag_ttl_seconds=0)
        push(limited, name, "v1")
        pull(live, repository, name, b"{}")
        while limited.client.get("/v2/").status_code == 200:
            pass
        path = f"/v2/{repository}/{name}"

        stale = live.client.get(f"{path}/manifests/v1")
        unknown = live.client.get(f"{path}/manifests/other")
        blob = live.client.get(f"{path}/blobs/{digest_of(LAYER)}")
        here = live.client.get(f"{path}/blobs/{digest_of(b'{}')}")

    assert (stale.status_code, here.status_code) == (200, 200)
    assert "stale" in stale.headers["Warning"]
    assert "Retry-After" not in stale.headers
    for each in (unknown, blob):
        assert (each.status_code, codes(each)) == (429, ["TOOMANYREQUESTS"])
        assert 1 <= int(each.headers["Retry-After"]) <= 101
    shown = health(live, repository)
    assert (shown["state"], shown["stale_served"]) == ("resting", 1)
    assert 0 < shown["retry_in_seconds"] <= 101


# --- /metrics ---


def metrics(get):
    answer = get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_what_is_counted_is_for_prometheus_to_read(live, upstream):
    repository, name = new_proxy(live, upstream), secrets.token_hex(4)
    layer = secrets.token_bytes(1 << 20)
    push(upstream, name, "v1", layer)
    before = metrics(live.client.get)

    pull(live, repository, name, layer)
    pull(live, repository, name, layer)
    after = metrics(live.client.get)

    asked = ("orlop_requests_total", "GET", "2xx")
    assert after[asked] >= before[asked] + 4
    sent = ("orlop_sent_bytes_total",)
    assert after[sent] >= before[sent] + 2 * len(layer)
    assert after["orlop_uploads",] == 0
    assert after["orlop_proxy_hits_total", repository] == 2
    assert after["orlop_proxy_misses_total", repository] == 2
    assert after["orlop_proxy_upstream_failures_total", repository] == 0
    assert after["orlop_proxy_bytes_fetched_total", repository] > len(layer)
    assert after["orlop_proxy_upstream_up", repository] == 1


@pytest.mark.parametrize(("visibility", "is_named"), [("public", True), ("private", False)])
def test_private_repositories_are_named_to_those_who_may_pull(live, upstream, visibility, is_named):
    repository = new_proxy(live, upstream, visibility=visibility)
    push(upstream, name := secrets.token_hex(4), "v1")
    pull(live, repository, name)
    elsewhere = new_proxy(live, upstream)
    stranger, reader = member(live, elsewhere, "reader"), member(live, repository, "reader")

    assert live.stranger.get("/metrics").status_code == 401
    assert (repository in stranger("/metrics").text) == is_named
    assert ("orlop_proxy_hits_total", repository) in metrics(reader)
