"""TLS and outbound proxies: what is trusted, and what a proxy is told."""

import base64
import secrets
import ssl
import threading

import pytest
import trio

from frontend.domain.outbound import OutboundProxy
from frontend.upstream.answers import Wanted
from frontend.upstream.errors import (
    AddressRefused,
    RealmRefused,
    RedirectRefused,
    UpstreamBroken,
    UpstreamUnavailable,
)
from frontend.upstream.transport import Patience
from frontend.upstream.trust import Trust
from tests.frontend.certificates import make_pair
from tests.upstream.faulty import HOST, Faulty, answer, sending

MANIFEST = Wanted("app", "manifests", "v1")
BIG = b"x" * 1_000_000


@pytest.fixture
def pair(tmp_path):
    return make_pair(tmp_path)


@pytest.fixture
async def secure(nursery, pair):
    """An upstream under TLS, with a certificate for 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    upstream = Faulty(nursery, sending(answer(200, BIG)))
    await upstream.begin(context)
    yield upstream
    for client in upstream.clients:
        await client.aclose()


async def _hang(stream):
    await trio.sleep_forever()


async def get(client):
    async with client.open("GET", MANIFEST) as found:
        return await found.read(len(BIG))


def own(faulty, scheme="https"):
    return faulty.url(host="127.0.0.1", scheme=scheme)


async def test_a_configured_authority_is_trusted(secure, pair):
    client = secure.client(url=own(secure), trust=Trust(str(pair.certificate)))

    assert [await get(client), await get(client)] == [BIG, BIG]
    assert secure.connections == 1


async def test_authorities_are_read_by_a_thread_and_only_for_tls(secure, faulty, pair):
    faulty.behave = sending(answer(200, BIG))
    trust = Watched(str(pair.certificate))

    assert await get(faulty.client(trust=trust)) == BIG
    assert trust.readers == []
    assert await get(secure.client(url=own(secure), trust=trust)) == BIG
    assert trust.readers
    assert threading.get_ident() not in trust.readers


class Watched(Trust):
    """Keeps who read it."""

    def __init__(self, ca: str) -> None:
        super().__init__(ca)
        self.readers = []

    def read(self):
        self.readers.append(threading.get_ident())
        return super().read()


@pytest.mark.parametrize("scheme_host", ["127.0.0.1", HOST])
async def test_others_are_not(secure, pair, scheme_host):
    """Without the authority nothing is right; with it, another host's name is still wrong."""
    trust = Trust() if scheme_host == "127.0.0.1" else Trust(str(pair.certificate))
    client = secure.client(url=secure.url(host=scheme_host, scheme="https"), trust=trust)

    with pytest.raises(UpstreamUnavailable) as caught:
        await get(client)

    assert f"no TLS with {scheme_host}" in caught.value.told
    assert secure.requests == []


async def test_clear_text_where_tls_is_spoken_is_no_answer(secure, faulty, pair):
    with pytest.raises((UpstreamUnavailable, UpstreamBroken)):
        await get(secure.client(url=own(secure, "http")))
    faulty.behave = sending(b"400 Bad Request\r\n")
    with pytest.raises(UpstreamUnavailable):
        await get(faulty.client(url=own(faulty), patience=Patience(connect_seconds=0.1)))


async def test_a_handshake_has_a_time_limit(nursery):
    silent = await nursery.start(trio.serve_tcp, _hang, 0)
    port = silent[0].socket.getsockname()[1]
    client = Faulty(nursery).client(
        url=f"https://127.0.0.1:{port}", patience=Patience(connect_seconds=0.1)
    )

    with pytest.raises(UpstreamUnavailable) as caught:
        await get(client)

    assert "within 0.1 s" in caught.value.told


async def test_nothing_leads_out_of_tls(secure, faulty, pair):
    trust = Trust(str(pair.certificate))
    secure.behave = sending(answer(307, b"", f"Location: {own(faulty, 'http')}/x"))

    with pytest.raises(RedirectRefused):
        await get(secure.client(url=own(secure), trust=trust))

    challenge = f'WWW-Authenticate: Bearer realm="{own(faulty, "http")}/token",service=x'
    secure.behave = sending(answer(401, b"", challenge))
    for user in ("", "me"):
        with pytest.raises(RealmRefused):
            await get(secure.client(url=own(secure), trust=trust, user=user))

    assert faulty.connections == 0


async def test_a_file_without_certificates_is_no_authority(tmp_path):
    (tmp_path / "empty.pem").write_text("nothing")

    for name in ("empty.pem", "gone.pem"):
        with pytest.raises(OSError, match=r"."):
            Trust(str(tmp_path / name)).read()


async def test_the_environment_has_no_say(faulty, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    faulty.behave = sending(answer(200, b"{}"))

    assert await get(faulty.client()) == b"{}"


class Proxy:
    """An HTTP proxy: it answers absolute URLs itself, and opens tunnels."""

    def __init__(self, nursery, ways=None):
        self.faulty = Faulty(nursery, self._behave)
        self.ways = ways or {}  # authority → port of loopback

    async def _behave(self, asked, stream):
        if asked.method != "CONNECT":
            await stream.send_all(answer(200, asked.target.encode()))
            return True
        if asked.target not in self.ways:
            await stream.send_all(answer(403))
            return False
        behind = await trio.open_tcp_stream("127.0.0.1", self.ways[asked.target])
        await stream.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with behind, trio.open_nursery() as nursery:
            nursery.start_soon(_pump, stream, behind, nursery.cancel_scope)
            nursery.start_soon(_pump, behind, stream, nursery.cancel_scope)
        return False


async def _pump(source, target, scope):
    try:
        async for data in source:
            await target.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()


async def proxied(nursery, scheme, ways=None, login=""):
    proxy = Proxy(nursery, ways)
    await proxy.faulty.begin()
    url = proxy.faulty.url(host=f"{login}127.0.0.1")
    return proxy, {"proxies": {scheme: OutboundProxy.parse(url)}}


async def test_a_proxy_is_asked_for_the_whole_url_and_knows_the_names(faulty, nursery):
    password = secrets.token_urlsafe(12)
    basic = "Basic " + base64.b64encode(f"m@e:{password}".encode()).decode()
    proxy, way = await proxied(nursery, "http", login=f"m%40e:{password}@")
    client = faulty.client(url="http://far.example", **way)

    for _ in range(2):
        assert await get(client) == b"http://far.example/v2/app/manifests/v1"

    [asked, again] = proxy.faulty.requests
    assert again == asked
    assert asked.headers["host"] == "far.example"
    assert asked.headers["proxy-authorization"] == basic
    assert proxy.faulty.connections == 1
    assert basic not in repr(way)
    assert faulty.resolved == []


async def test_tls_goes_through_a_tunnel_and_is_checked_behind_it(secure, nursery, pair):
    origin = f"127.0.0.1:{secure.port}"
    proxy, way = await proxied(nursery, "https", {origin: secure.port})
    trust = Trust(str(pair.certificate))
    client = secure.client(url=own(secure), trust=trust, **way)

    assert [await get(client), await get(client)] == [BIG, BIG]
    assert [(each.method, each.target) for each in proxy.faulty.requests] == [("CONNECT", origin)]
    assert "authorization" not in proxy.faulty.requests[0].headers
    with pytest.raises(UpstreamUnavailable):
        await get(secure.client(url=own(secure), **way))


async def test_a_proxy_that_refuses_is_an_upstream_that_does_not_answer(secure, nursery):
    _, way = await proxied(nursery, "https")

    with pytest.raises(UpstreamUnavailable) as caught:
        await get(secure.client(url=own(secure), **way))

    assert "the proxy answered 403" in caught.value.told


@pytest.mark.parametrize("address", ["127.0.0.1:1", "169.254.169.254", "[::1]", "10.0.0.1"])
async def test_written_addresses_are_refused_with_a_proxy_too(faulty, nursery, address):
    proxy, way = await proxied(nursery, "http")
    faulty.behave = sending()

    async def redirect(asked, stream):
        await stream.send_all(answer(307, b"", f"Location: http://{address}/"))

    proxy.faulty.behave = redirect

    with pytest.raises(AddressRefused):
        await get(faulty.client(url="http://far.example", **way))

    assert len(proxy.faulty.requests) == 1
