"""What one connection may do to the server: hurt itself. Hardening §1.1-1.3 and §2."""

import contextlib
import socket
import time

import pytest

from frontend.settings import Gc, Http, Limits, Settings
from tests.frontend.live import BASIC, codes, digest_of, head, read_to_end, running

AUTH = f"Authorization: {BASIC}\r\n".encode()
HOST = b"Host: x\r\n"


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    """A server that waits for nobody."""
    http = Http(
        listen="127.0.0.1:0",
        header_seconds=0.3,
        idle_seconds=0.6,
        stall_seconds=0.4,
        shutdown_seconds=0.5,
    )
    settings = Settings(http=http, limits=Limits(concurrent_uploads=1), gc=Gc(grace_seconds=0))
    with running(tmp_path_factory.mktemp("hasty") / "data", settings) as server:
        yield server


@pytest.mark.slow
def test_a_head_that_trickles_is_cut_at_the_limit(hasty):
    began = time.monotonic()
    with hasty.connect() as peer:
        received = b""
        for byte in b"GET / HTTP/1.1\r\nX-Slow: yes, very, more than anybody waits for\r\n":
            try:
                peer.sendall(bytes((byte,)))
            except OSError:
                break
            time.sleep(0.01)
            if time.monotonic() - began > 5:
                break
        received = read_to_end(peer)

    assert head(received) in (b"408", b"")
    assert time.monotonic() - began < 3


@pytest.mark.slow
def test_an_idle_connection_is_closed(hasty):
    began = time.monotonic()
    with hasty.connect() as peer:
        assert read_to_end(peer) == b""

    assert 0.3 < time.monotonic() - began < 5


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
    assert b"onnection: close" in received
    assert hasty.client.get(location).headers["Range"] == "0-69999"


def test_a_client_that_leaves_can_go_on_where_it_was(live):
    location = live.begin(live.image())
    with live.connect() as peer:
        peer.sendall(
            f"PATCH {location} HTTP/1.1\r\n".encode()
            + HOST
            + AUTH
            + b"Content-Length: 200000\r\n\r\n"
            + b"x" * 100_000
        )
        time.sleep(0.05)
    for _ in range(100):
        held = live.client.get(location).headers["Range"]
        if held == "0-99999":
            break
        time.sleep(0.02)

    answer = live.client.patch(
        location, content=b"x" * 100_000, headers={"Content-Range": "100000-199999"}
    )
    done = live.client.put(location, params={"digest": digest_of(b"x" * 200_000)})

    assert (held, answer.status_code, done.status_code) == ("0-99999", 202, 201)


@pytest.mark.slow
def test_a_reader_that_stops_is_cut_off(hasty):
    image, content = hasty.image(), b"\1" * (32 << 20)
    hasty.push(image, content)
    with hasty.connect() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sendall(
            f"GET /v2/{image}/blobs/{digest_of(content)} HTTP/1.1\r\n".encode()
            + HOST
            + AUTH
            + b"\r\n"
        )
        time.sleep(1.2)
        received = read_to_end(peer)

    assert received.startswith(b"HTTP/1.1 200")
    assert len(received) < len(content)


@pytest.mark.slow
def test_a_reader_that_trickles_is_cut_off_too(hasty):
    image, content = hasty.image(), b"\3" * (32 << 20)
    place = f"/v2/{image}/blobs/{hasty.push(image, content)}"
    with hasty.connect() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sendall(f"GET {place} HTTP/1.1\r\n".encode() + HOST + AUTH + b"\r\n")
        began = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            while peer.recv(4096) and time.monotonic() - began < 8:
                time.sleep(0.05)  # 80 KiB/s, and 640 KiB/s are wanted

    assert time.monotonic() - began < 6


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 10\r\n",
        b"Content-Length: 10000000\r\n",
        b"Transfer-Encoding: chunked\r\n",
    ],
)
def test_a_refused_body_is_not_waited_for(live, framing):
    with live.connect() as peer:
        peer.sendall(b"PUT /v2/local/images/x/manifests/t HTTP/1.1\r\n" + HOST + framing + b"\r\n")
        peer.settimeout(3)
        received = peer.recv(4096)

    assert received.startswith(b"HTTP/1.1 401")
    assert b"onnection: close" in received


@pytest.mark.parametrize("size", [1000, 3_000_000, 30_000_000])
def test_a_client_that_sends_all_of_a_refused_body_sees_the_answer(live, size):
    answer = live.stranger.post(
        "/v2/local/images/x/blobs/uploads/", params={"digest": digest_of(b"")}, content=b"x" * size
    )

    assert (answer.status_code, codes(answer)) == (401, ["UNAUTHORIZED"])


def test_a_small_refused_body_keeps_the_connection(live):
    received = live.exchange(
        b"POST /v2/local/images/x/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n"
        b"Content-Length: 3\r\n\r\nabc"
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )

    assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"401", b"200"]


def test_one_upload_more_than_allowed_is_429_with_retry_after(hasty):
    image = hasty.image()
    location, other = hasty.begin(image), hasty.begin(image)
    with hasty.connect() as peer:
        peer.sendall(
            f"PATCH {location} HTTP/1.1\r\n".encode() + HOST + AUTH + b"Content-Length: 10\r\n\r\nx"
        )
        time.sleep(0.1)
        answers = [
            hasty.client.patch(other, content=b"abc"),
            hasty.client.put(f"/v2/{image}/manifests/t", content=b"x" * 100_000),
        ]
        small = hasty.client.put(
            f"/v2/{image}/manifests/t", content=b"x", headers={"Content-Type": "text/plain"}
        )

    for answer in answers:
        assert (answer.status_code, codes(answer)) == (429, ["TOOMANYREQUESTS"])
        assert int(answer.headers["Retry-After"]) > 0
    assert small.status_code == 201


@pytest.mark.slow
def test_a_stalled_reader_does_not_keep_the_server_from_ending(tmp_path):
    http = Http(listen="127.0.0.1:0", stall_seconds=60, shutdown_seconds=0.2)
    with contextlib.ExitStack() as outer:
        with running(tmp_path / "data", Settings(http=http)) as server:
            image, content = server.image(), b"\2" * (16 << 20)
            server.push(image, content)
            peer = outer.enter_context(server.connect())
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.sendall(
                f"GET /v2/{image}/blobs/{digest_of(content)} HTTP/1.1\r\n".encode()
                + HOST
                + AUTH
                + b"\r\n"
            )
            time.sleep(0.1)
            began = time.monotonic()

        assert time.monotonic() - began < 5


@pytest.mark.slow
def test_a_request_under_way_is_finished_when_the_server_ends(tmp_path):
    with contextlib.ExitStack() as outer:
        with running(tmp_path / "data") as server:
            location = server.begin(server.image())
            peer = outer.enter_context(server.connect())
            peer.sendall(
                f"PATCH {location} HTTP/1.1\r\n".encode()
                + HOST
                + AUTH
                + b"Content-Length: 3\r\n\r\na"
            )
            time.sleep(0.1)
            server.run(_set, server.server.stop)
            time.sleep(0.1)
            peer.sendall(b"bc")
            received = read_to_end(peer)
            peer.close()

        assert head(received) == b"202"


async def _set(event):
    event.set()
