"""Docker Hub, as far as it can be had without a network: its names, tokens, limits, and stores.

Its hosts are reached by an outbound proxy, whose tunnels all end at a source of the test's.
"""

import base64
import json
import secrets
import ssl
from dataclasses import dataclass

import pytest
import trio

from tests.frontend.certificates import make_pair
from tests.frontend.live import digest_of, running
from tests.frontend.proxying import new_proxy
from tests.frontend.sources import Source, manifest_answer, saying, source
from tests.proxy.pulling import layer, settings_in
from tests.upstream.faulty import answer

HUB, AUTH, STORE = "registry-1.docker.io", "auth.docker.io", "production.cloudflare.docker.com"
CHALLENGE = f'WWW-Authenticate: Bearer realm="https://{AUTH}/token",service="registry.docker.io"'


@dataclass
class Hub:
    """Docker Hub, the tunnels to it, and a server that goes through these."""

    far: Source
    tunnels: Source
    live: object
    user: str
    password: str
    repository: str = ""

    def asked(self, host):
        return [each for each in self.far.requests if each.headers["host"] == host]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    pair = make_pair(folder, 7, ",".join(f"DNS:{host}" for host in (HUB, AUTH, STORE)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with source(context=context) as far, source() as tunnels:
        tunnels.always("CONNECT", "", tunnel_to(far.port))
        said = settings_in(folder, ca=str(pair.certificate), https_proxy=tunnels.url)
        with running(folder / "data", said) as live:
            yield far, tunnels, live


def tunnel_to(port):
    async def behave(asked, stream):
        there = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        async with there, trio.open_nursery() as nursery:
            nursery.start_soon(pump, stream, there, nursery.cancel_scope)
            await pump(there, stream, nursery.cancel_scope)

    return behave


async def pump(source, target, scope):
    try:
        async for data in source:
            await target.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # one of them left
    scope.cancel()


@pytest.fixture
def hub(places):
    """Docker Hub asks for a token of the image, and gives one to everybody."""
    far, tunnels, live = places
    far.well()
    far.requests.clear()
    made = Hub(far, tunnels, live, f"u{secrets.token_hex(3)}", secrets.token_hex(8))
    token = secrets.token_hex(16)
    far.always("GET", "/token", saying(answer(200, json.dumps({"token": token}).encode())))

    def only_with_token(usual):
        async def behave(asked, stream):
            if asked.headers.get("authorization") != f"Bearer {token}":
                await stream.send_all(answer(401, b"", CHALLENGE))
                return True
            return await usual(asked, stream)

        return behave

    async def manifest(asked, stream):
        content, kind = far.manifests["t"]
        limits = ("ratelimit-limit: 100;w=21600", "ratelimit-remaining: 76;w=21600")
        await stream.send_all(manifest_answer(content, kind, asked.method, *limits))
        return True

    for method in ("GET", "HEAD"):
        far.always(method, "/manifests/t", only_with_token(manifest))
    made.repository = new_proxy(
        live, far, "public", url="https://docker.io", username=made.user, password=made.password
    )
    yield made
    live.client.delete(f"/api/v1/repositories/{made.repository}", params={"force": "true"})


@pytest.mark.parametrize(
    ("path", "namespace"),
    [
        ("/v2/{}/nginx/manifests/t", ""),
        ("/v2/{}/library/nginx/manifests/t", ""),
        ("/v2/library/nginx/manifests/t?ns=docker.io", "docker.io"),
        ("/v2/nginx/manifests/t?ns=docker.io", "docker.io"),
        ("/mirror/{}/v2/library/nginx/manifests/t", ""),
    ],
)
def test_short_names_are_those_of_the_library(hub, path, namespace):
    digest = hub.far.image(layer(10))

    reply = hub.live.stranger.get(path.format(hub.repository))

    assert reply.headers["Docker-Content-Digest"] == digest
    assert reply.headers.get("OCI-Namespace", "") == namespace
    assert {each.target for each in hub.asked(HUB)} == {"/v2/library/nginx/manifests/t"}
    assert {each.target for each in hub.tunnels.requests} <= {f"{HUB}:443", f"{AUTH}:443"}


def test_the_password_is_for_the_token_endpoint_alone(hub):
    content = layer()
    hub.far.image(content)
    digest = hub.far.blob(content)
    away = answer(307, b"", f"Location: https://{STORE}/data?signature=x")
    hub.far.misbehave("GET", digest, saying(away, keeps=True))
    hub.far.misbehave("GET", "/data", saying(answer(200, content)))
    base = f"/v2/{hub.repository}/nginx"

    manifest = hub.live.stranger.get(f"{base}/manifests/t")
    blob = hub.live.stranger.get(f"{base}/blobs/{digest}")

    assert (manifest.status_code, digest_of(blob.content)) == (200, digest)
    basic = "Basic " + base64.b64encode(f"{hub.user}:{hub.password}".encode()).decode()
    assert [each.headers["authorization"] for each in hub.asked(AUTH)] == [basic]
    assert "scope=repository%3Alibrary%2Fnginx%3Apull" in hub.asked(AUTH)[0].target
    assert all(basic != each.headers.get("authorization") for each in hub.asked(HUB))
    assert [each.headers.get("authorization") for each in hub.asked(STORE)] == [None]


def test_an_account_that_has_pulled_too_much_is_served_from_here(hub):
    digest = hub.far.image(layer(10))
    path = f"/v2/{hub.repository}/nginx/manifests/t"
    body = {"upstream": {"tag_ttl_seconds": 0}}
    change = hub.live.client.patch(f"/api/v1/repositories/{hub.repository}", json=body)
    assert change.status_code == 200
    hub.live.stranger.get(path)
    hub.far.well()
    for method in ("GET", "HEAD"):
        hub.far.always(method, "", saying(answer(429, b"", "Retry-After: 3600"), keeps=True))

    stale = hub.live.stranger.get(path)

    assert stale.headers["Docker-Content-Digest"] == digest
    assert "limits how often it may be asked" in stale.headers["Warning"]
