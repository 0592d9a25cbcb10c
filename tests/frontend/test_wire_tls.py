"""HTTPS: the same answers as in clear text, and an end that cannot be mistaken."""

import contextlib
import socket
import ssl
import time

import httpx
import pytest

from frontend.settings import Http, Settings
from tests.frontend.certificates import make_pair
from tests.frontend.live import (
    BASIC,
    digest_of,
    head,
    read_to_end,
    running,
)
from tests.frontend.test_wire_pull import _damage

AUTH = f"Authorization: {BASIC}\r\n".encode()
CONTENT = bytes(range(256)) * 8192 + b"tail"
HOST = b"Host: x\r\n"
DROPPED = {"date"}


@pytest.fixture(scope="module")
def pushed(live, secure):
    """The same blob behind both servers."""
    image = live.image()
    for server in (live, secure):
        server.push(image, CONTENT)
    return f"/v2/{image}/blobs/{digest_of(CONTENT)}"


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("GET", {}),
        ("HEAD", {}),
        ("GET", {"Range": "bytes=0-0"}),
        ("GET", {"Range": "bytes=1048570-1048589"}),
        ("GET", {"Range": "bytes=-5"}),
        ("GET", {"Range": "bytes=99999999-"}),
        ("GET", {"If-None-Match": "*"}),
        ("GET", {"Authorization": "Basic eDp5"}),
        ("PATCH", {}),
    ],
)
def test_it_answers_as_clear_text_does(live, secure, pushed, method, fields):
    given = {"Authorization": BASIC} | fields
    answers = [server.stranger.request(method, pushed, headers=given) for server in (live, secure)]
    plain, tls = [
        {**answer.headers, "www-authenticate": ""} for answer in answers
    ]  # which names the server's own address

    assert answers[1].status_code == answers[0].status_code
    assert answers[1].content == answers[0].content
    assert {k: v for k, v in tls.items() if k not in DROPPED} == {
        k: v for k, v in plain.items() if k not in DROPPED
    }


def test_the_token_endpoint_is_named_with_https(secure):
    assert secure.url.startswith("https://127.0.0.1:")
    challenge = secure.stranger.get("/v2/").headers["WWW-Authenticate"]
    assert f'realm="{secure.url}/v2/token"' in challenge


@pytest.mark.slow
def test_a_large_layer_is_pushed_and_pulled(secure):
    content = bytes(range(251)) * (21 << 12)
    image, digest = secure.image(), digest_of(content)

    assert secure.push(image, content) == digest
    for _ in range(2):
        assert secure.client.get(f"/v2/{image}/blobs/{digest}").content == content


def test_hot_and_other_requests_go_on_one_connection(secure, pushed):
    asked = [f"GET {path} HTTP/1.1\r\n".encode() + HOST + AUTH + b"\r\n"
             for path in (pushed, "/v2/", "/healthz", pushed)]  # fmt: skip
    received = secure.exchange(
        b"".join(asked) + b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )

    statuses = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"200", b"200", b"200", b"401"]
    assert received.count(CONTENT) == 2


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_request_in_pieces_is_one_request(secure, size):
    sent = (
        f"POST /v2/{secure.image()}/blobs/uploads/?digest={digest_of(b'xyz')} HTTP/1.1\r\n".encode()
        + HOST
        + AUTH
        + b"Content-Length: 3\r\nConnection: close\r\n\r\nxyz"
    )
    with secure.connect() as peer:
        for at in range(0, len(sent), size):
            peer.sendall(sent[at : at + size])
        received = read_to_end(peer)

    assert head(received) == b"201"


def test_old_versions_are_refused(secure):
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="deprecated"):
            context.minimum_version = context.maximum_version = version
        with (
            socket.create_connection(secure.address, timeout=10) as peer,
            pytest.raises((ssl.SSLError, ConnectionError)),
        ):
            context.wrap_socket(peer)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_stops_sending_is_still_answered(secure, version):
    trust = ssl.create_default_context(cadata=_pem(secure))
    trust.minimum_version = trust.maximum_version = version
    raw = socket.create_connection(secure.address, timeout=10)
    with trust.wrap_socket(raw, server_hostname="127.0.0.1") as peer:
        peer.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        socket.socket.shutdown(peer, socket.SHUT_WR)
        received = read_to_end(peer)

    assert head(received) == b"200"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\0" * 1000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 600,
        b"",
        b"\x16",
    ],
)
def test_whoever_speaks_something_else_is_sent_away_quietly(secure, sent):
    with socket.create_connection(secure.address, timeout=10) as peer:
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        received = read_to_end(peer)

    assert received.startswith(b"HTTP/1.0 400 ") == sent.startswith(b"GET")
    assert secure.errors.lines == []
    assert secure.stranger.get("/healthz").status_code == 200


def test_garbage_after_the_handshake_ends_the_connection(secure):
    with secure.connect() as peer:
        raw = socket.socket(fileno=socket.dup(peer.fileno()))
        with raw:
            raw.sendall(b"\x17\x03\x03\x00\x40" + b"x" * 64)
            peer.settimeout(5)
            with contextlib.suppress(ssl.SSLError):
                assert read_to_end(peer) == b""

    assert secure.stranger.get("/healthz").status_code == 200


def test_an_answer_ends_in_order_and_a_connection_too(secure):
    with secure.connect() as peer:  # it raises when the end comes without being said
        peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b'{"status":"ok"}' in read_to_end(peer)


@pytest.mark.parametrize("damage", ["lost", "flipped"])
def test_a_damaged_blob_breaks_the_connection_and_never_looks_whole(tmp_path, damage):
    pair = make_pair(tmp_path)
    with running(tmp_path / "data", _settings(pair), pair.trust()) as server:
        image = server.image()
        place = f"/v2/{image}/blobs/{server.push(image, CONTENT)}"
        _damage(tmp_path / "data" / "packs", damage)

        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            server.client.get(place)
        with server.connect() as peer:
            peer.sendall(f"GET {place} HTTP/1.1\r\n".encode() + HOST + AUTH + b"\r\n")
            with pytest.raises(ssl.SSLEOFError):  # nobody said that this was all
                read_to_end(peer)

        server.errors.expect("cut short", "damaged: ")
        server.errors.wait_for("cut short", times=2)


def test_a_renewed_certificate_is_shown_to_new_connections(tmp_path, monkeypatch):
    monkeypatch.setattr("frontend.server.certificate.LOOK_SECONDS", 0.0)
    pair, other = make_pair(tmp_path), make_pair(tmp_path, 2)
    old, new = pair.trust(), other.trust()
    with running(tmp_path / "data", _settings(pair), old) as server, server.connect() as before:
        pair.replace(other)
        with pytest.raises(ssl.SSLCertVerificationError):
            server.connect()
        server.trust = new
        with server.connect() as after:
            for peer in (before, after):
                peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert head(read_to_end(peer)) == b"200"


# --- those who wait -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    """A server that waits for nobody."""
    folder = tmp_path_factory.mktemp("hasty")
    pair = make_pair(folder)
    settings = _settings(pair, header_seconds=0.4, idle_seconds=0.6, stall_seconds=0.4)
    with running(folder / "data", settings, pair.trust()) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 400]
)
def test_a_handshake_that_never_ends_is_cut_at_the_limit(hasty, piece):
    began = time.monotonic()
    with socket.create_connection(hasty.address, timeout=10) as peer:
        for at in range(len(piece)):
            try:
                peer.sendall(piece[at : at + 1])
            except OSError:
                break
            time.sleep(0.01)
        read_to_end(peer)

    assert 0.3 < time.monotonic() - began < 5


@pytest.mark.slow
def test_an_idle_connection_is_closed_in_order(hasty):
    with hasty.connect() as peer:
        peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        received = read_to_end(peer)

    assert head(received) == b"200"


@pytest.mark.slow
def test_a_head_that_stops_is_408(hasty):
    with hasty.connect() as peer:
        peer.sendall(b"GET / HTTP/1.1\r\n")
        received = read_to_end(peer)

    assert head(received) == b"408"


@pytest.mark.slow
def test_a_body_that_stops_is_408_and_what_came_is_kept(hasty):
    location = hasty.begin(hasty.image())
    with hasty.connect() as peer:
        peer.sendall(
            f"PATCH {location} HTTP/1.1\r\n".encode()
            + HOST
            + AUTH
            + b"Content-Length: 100000\r\n\r\n"
            + b"x" * 70_000
        )
        received = read_to_end(peer)

    assert head(received) == b"408"
    assert hasty.client.get(location).headers["Range"] == "0-69999"


@pytest.mark.slow
@pytest.mark.parametrize(("first", "each"), [(1.2, 0), (0, 0.05)])
def test_a_reader_that_stops_or_trickles_is_cut_off(hasty, first, each):
    image, content = hasty.image(), b"\1" * (32 << 20)
    place = f"/v2/{image}/blobs/{hasty.push(image, content)}"
    received, began = 0, time.monotonic()
    with hasty.connect() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sendall(f"GET {place} HTTP/1.1\r\n".encode() + HOST + AUTH + b"\r\n")
        time.sleep(first)
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            while (data := peer.recv(4096)) and time.monotonic() - began < 8:
                received += len(data)
                time.sleep(each)

    assert received < len(content)
    assert time.monotonic() - began < 6


@pytest.mark.slow
def test_a_stalled_reader_does_not_keep_the_server_from_ending(tmp_path):
    pair = make_pair(tmp_path)
    settings = _settings(pair, stall_seconds=60, shutdown_seconds=0.2)
    with contextlib.ExitStack() as outer:
        with running(tmp_path / "data", settings, pair.trust()) as server:
            image = server.image()
            place = f"/v2/{image}/blobs/{server.push(image, bytes(32 << 20))}"
            peer = outer.enter_context(server.connect())
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.sendall(f"GET {place} HTTP/1.1\r\n".encode() + HOST + AUTH + b"\r\n")
            peer.recv(100)
            began = time.monotonic()

        assert time.monotonic() - began < 5


@pytest.mark.slow
def test_a_request_under_way_is_finished_when_the_server_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("frontend.server.connection.FRESH_SECONDS", 0.2)  # well before the end
    pair = make_pair(tmp_path)
    with contextlib.ExitStack() as outer:
        settings = _settings(pair, shutdown_seconds=20)
        with running(tmp_path / "data", settings, pair.trust()) as server:
            location = server.begin(server.image())
            waiting = outer.enter_context(socket.create_connection(server.address, timeout=10))
            peer = outer.enter_context(server.connect())
            begun = f"PATCH {location} HTTP/1.1\r\n".encode() + HOST + AUTH
            peer.sendall(begun + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            assert peer.recv(100).startswith(b"HTTP/1.1 100")
            server.run(_set, server.server.stop)
            assert read_to_end(waiting) == b""  # it is in its handshake: nothing is under way
            peer.sendall(b"abc")
            received = read_to_end(peer)

        assert head(received) == b"202"


def _settings(pair, **others):
    return Settings(
        http=Http(
            listen="127.0.0.1:0",
            tls_certificate=str(pair.certificate),
            tls_key=str(pair.key),
            **({"shutdown_seconds": 2} | others),
        )
    )


def _pem(server):
    return ssl.get_server_certificate(server.address)


async def _set(event):
    event.set()
