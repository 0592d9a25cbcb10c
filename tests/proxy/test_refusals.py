"""Upstreams that do not want, or lead elsewhere: what is here goes out, and no secret."""

import secrets

import pytest

from tests.frontend.live import codes, digest_of
from tests.frontend.sources import saying, source
from tests.proxy.pulling import OTHER, layer, proxy_of, take
from tests.upstream.faulty import answer


def test_a_limited_upstream_leaves_what_is_here_and_says_when_to_come_again(live, far, proxy):
    digest = far.image(layer(10))
    path = f"/v2/{proxy}/app/manifests"
    live.stranger.get(f"{path}/t")
    limited = saying(answer(429, b"{}", "Retry-After: 77"), keeps=True)
    for method in ("GET", "HEAD"):
        far.always(method, "", limited)

    stale, other = live.stranger.get(f"{path}/t"), live.stranger.get(f"{path}/other")
    blob = live.stranger.get(f"/v2/{proxy}/app/blobs/{digest_of(layer(1))}")

    assert stale.headers["Docker-Content-Digest"] == digest
    assert stale.headers["Warning"].startswith('299 - "stale: ')
    assert live.stranger.get(f"{path}/{digest}").status_code == 200
    for each in (other, blob):
        assert (each.status_code, codes(each)) == (429, ["TOOMANYREQUESTS"])
        assert 70 <= int(each.headers["Retry-After"]) <= 77
    assert len(far.requests) == 2  # after the 429 it is left alone


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_upstream_that_fails_leaves_what_is_here(live, far, proxy, status):
    digest = far.image(layer(10))
    path = f"/v2/{proxy}/app/manifests/t"
    live.stranger.get(path)
    for method in ("GET", "HEAD"):
        far.always(method, "", saying(answer(status), keeps=True))

    stale = live.stranger.get(path)
    head = live.stranger.head(path)

    for each in (stale, head):
        assert each.headers["Docker-Content-Digest"] == digest
        assert each.headers["Warning"].startswith("299")
    far.well()


@pytest.mark.parametrize("status", [401, 403])
def test_an_upstream_that_shows_it_no_more_leaves_what_is_here(live, far, proxy, status):
    digest = far.image(layer(10))
    path = f"/v2/{proxy}/app/manifests/t"
    live.stranger.get(path)
    for method in ("GET", "HEAD"):
        far.always(method, "", saying(answer(status), keeps=True))

    assert live.stranger.get(path).headers["Docker-Content-Digest"] == digest
    assert live.stranger.get(path).headers["Warning"].startswith("299")


def test_a_redirect_to_an_allowed_host_is_followed_without_credentials(live, far):
    content = layer()
    with source(OTHER) as store:
        store.blob(content)
        digest = far.blob(content)
        need = saying(answer(401, b"", 'WWW-Authenticate: Basic realm="x"'), keeps=True)
        away = saying(answer(307, b"", f"Location: {store.url}/v2/s/blobs/{digest}"), keeps=True)
        far.misbehave("GET", digest, need, away)
        proxy = proxy_of(live, far, username="me", password=secrets.token_hex(8))

        status, body, _ = take(live, f"/v2/{proxy}/app/blobs/{digest}")

        assert (status, body == content) == (200, True)
        assert ["authorization" in each.headers for each in far.requests] == [False, True]
        assert ["authorization" in each.headers for each in store.requests] == [False]


@pytest.mark.parametrize(
    "where",
    [
        "http://localhost:{port}/x",
        "http://127.0.0.3:{port}/x",
        "http://[::1]:{port}/x",
        "http://[::ffff:127.0.0.1]:{port}/x",
        "http://10.0.0.1/x",
        "http://192.168.1.1/x",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/x",
        "http://100.100.100.200/x",
        "http://0.0.0.0:{port}/x",
        "http://2130706433:{port}/x",
        "http://0x7f.1:{port}/x",
        "file:///etc/passwd",
        "gopher://127.0.0.1/x",
        "//127.0.0.3:{port}/x",
    ],
)
def test_a_redirect_to_an_inner_address_is_refused(live, far, proxy, where):
    digest = far.blob(layer(10))
    there = where.format(port=far.port)
    far.always("GET", digest, saying(answer(302, b"", f"Location: {there}"), keeps=True))

    reply = live.stranger.get(f"/v2/{proxy}/app/blobs/{digest}")

    assert reply.status_code in (502, 503)
    assert len(far.requests) == 1
    assert there not in reply.text


@pytest.mark.parametrize(
    "realm",
    [
        "http://localhost:{port}/token",
        "http://127.0.0.3:{port}/token",
        "http://127.0.0.2:{port}/token?a=b",
        "http://169.254.169.254/token",
        "https://elsewhere.invalid/token",
        "http://[fd00:ec2::254]/token",
    ],
)
def test_a_foreign_realm_gets_no_credentials_and_leaves_what_is_here(live, far, realm):
    digest = far.image(layer(10))
    proxy = proxy_of(live, far, username="me", password=secrets.token_hex(8))
    path = f"/v2/{proxy}/app/manifests/t"
    live.stranger.get(path)
    there = realm.format(port=far.port)
    challenge = f'WWW-Authenticate: Bearer realm="{there}",service="s"'
    for method in ("GET", "HEAD"):
        far.always(method, "", saying(answer(401, b"", challenge), keeps=True))
    before = len(far.requests)

    stale = live.stranger.get(path)
    other = live.stranger.get(f"/v2/{proxy}/app/manifests/other")

    asked = far.requests[before:]
    assert stale.headers["Docker-Content-Digest"] == digest
    assert "Warning" in stale.headers
    if not there.startswith(f"http://{OTHER}"):  # which is allowed, but nobody listens there
        assert (other.status_code, codes(other)) == (502, ["UNAVAILABLE"])
    assert all("token" not in each.target for each in asked)
    assert all("authorization" not in each.headers for each in asked)
    assert there not in other.text


def test_nothing_of_a_client_reaches_the_upstream(live, far):
    content = layer(10)
    far.image(content)
    word = secrets.token_hex(8)
    proxy = proxy_of(live, far)
    fields = {
        "Cookie": word,
        "User-Agent": word,
        "X-Forwarded-For": "203.0.113.9",
        "Referer": f"http://{word}/",
        "X-Custom": word,
        "Accept": f"application/{word}",
    }

    for path in ("manifests/t", f"blobs/{digest_of(content)}", "tags/list"):
        live.client.get(f"/v2/{proxy}/app/{path}", headers=fields, params={"q": word})

    assert len(far.requests) == 3
    for each in far.requests:
        assert "authorization" not in each.headers
        said = " ".join((each.target, *each.headers.values()))
        assert word not in said
        assert "203.0.113.9" not in said
        assert proxy not in said
