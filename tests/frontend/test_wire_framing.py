"""What a connection may say: sound requests, and nothing after the last one. Hardening §1.6."""

import socket

import pytest

from tests.frontend.live import BASIC, digest_of, head, read_to_end

AUTH = f"Authorization: {BASIC}\r\n".encode()


def is_alive(server) -> bool:
    return server.stranger.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\n", b"400"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            b"400",
        ),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"400"),
        (b"GET http://evil/ HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", b"501"),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"501"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"501"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 65536 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5000 + b"\r\n", b"431"),
        (b"GET /" + b"x" * 65536 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"431"),
    ],
)
def test_a_request_of_doubtful_framing_is_refused_and_the_connection_closed(live, sent, status):
    received = live.exchange(sent)

    assert head(received) == status
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in received.lower()
    assert is_alive(live)


@pytest.mark.parametrize(
    "upgrade",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: !!\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: x\r\n",
    ],
)
def test_an_upgrade_is_ignored(live, upgrade):
    received = live.exchange(
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
        + upgrade
        + b"\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )

    assert received.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    "junk", [b"", b"\0" * 1000, b"GET", b"\r\n" * 100, bytes(range(256)) * 300]
)
def test_junk_and_a_sudden_end_harm_nobody(live, junk):
    with live.connect() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        peer.sendall(junk)

    assert is_alive(live)


def test_pipelined_requests_are_answered_in_order(live):
    received = live.exchange(
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )

    statuses = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"401", b"200", b"200"]


def test_a_refusal_comes_also_while_the_answer_before_it_fills_the_socket(live):
    image = live.image()
    path = f"/v2/{image}/blobs/{live.push(image, bytes(128 << 10))}"
    asked = f"GET {path} HTTP/1.1\r\nHost: x\r\n".encode() + AUTH + b"\r\n"

    for _ in range(40):  # how much the system holds when the refusal is due differs each time
        received = live.exchange(asked + b"GET /healthz HTTP/1.1\r\nHost: [\r\n\r\n")

        assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400"]


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
@pytest.mark.parametrize("rest", [b"abc", b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", b"x" * 300_000])
def test_what_follows_the_last_request_is_not_read(live, request_, rest):
    for _ in range(5):  # the answer and what is dropped meet at another moment each time
        received = live.exchange(request_ + rest)

        assert received.startswith(b"HTTP/1.1 200")
        assert received.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "target",
    [
        b"GET /healthz",
        b"POST /v2/local/images/x/blobs/uploads/",
        b"PUT /v2/local/images/x/manifests/t",
    ],
)
def test_a_body_that_breaks_while_it_is_answered_ends_the_connection_in_order(live, target):
    for _ in range(10):  # as above; `live` fails when the server logs an error
        received = live.exchange(
            target + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        )

        assert received[9:12] in (b"400", b"401", b"200")
        assert received.count(b"HTTP/1.1") == 1


def test_an_expected_100_is_sent_before_the_body(live):
    place = f"/v2/local/images/x/blobs/uploads/?digest={digest_of(b'{}')}"

    with live.connect() as peer:
        peer.sendall(
            f"POST {place} HTTP/1.1\r\nHost: x\r\n".encode()
            + AUTH
            + b"Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
        )
        first = peer.recv(100)
        peer.sendall(b"{}")
        rest = read_to_end(peer)

    assert first.startswith(b"HTTP/1.1 100")
    assert b"HTTP/1.1 201" in first + rest


@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        (b"POST /api/v1/repositories", b"", 401),
        (b"POST /api/v1/repositories", b"Authorization: Basic eDp5\r\n", 401),
        (b"PUT /nowhere", AUTH, 404),
        (b"DELETE /healthz", AUTH, 405),
    ],
)
def test_no_management_body_is_asked_for_that_will_be_refused(live, line, fields, status):
    with live.connect() as peer:
        expecting = b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        peer.sendall(line + b" HTTP/1.1\r\nHost: x\r\n" + fields + expecting)
        received = read_to_end(peer)

    assert received.startswith(b"HTTP/1.1 %d" % status)


def test_a_management_body_that_may_be_accepted_is_asked_for(live):
    content = b'{"storage": "local", "name": "expected"}'
    with live.connect() as peer:
        expecting = b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(content)
        peer.sendall(
            b"POST /api/v1/repositories HTTP/1.1\r\nHost: x\r\n"
            + AUTH + b"Connection: close\r\n" + expecting
        )  # fmt: skip
        first = peer.recv(100)
        peer.sendall(content)

        assert first.startswith(b"HTTP/1.1 100")
        assert b"HTTP/1.1 201" in first + read_to_end(peer)


@pytest.mark.parametrize("length", [10, 9999999])
def test_no_body_is_asked_for_that_will_be_refused(live, length):
    with live.connect() as peer:
        peer.sendall(
            b"PUT /v2/local/images/x/manifests/t HTTP/1.1\r\nHost: x\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % length
        )
        received = peer.recv(100)

    assert received.startswith(b"HTTP/1.1 401")
