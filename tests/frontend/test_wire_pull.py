"""Pulling over the wire: what `respond` answers arrives whole, or the connection is broken."""

import http.client
import os
import socket

import httpx
import pytest

from tests.cas.pages import drop
from tests.frontend.live import BASIC, codes, digest_of, running

LARGE = b"".join(number.to_bytes(4) for number in range(1 << 20))  # 4 MiB


@pytest.fixture(scope="module")
def large(live):
    """An image with a blob of several pieces."""
    image = live.image()
    return f"/v2/{image}/blobs/{live.push(image, LARGE)}"


def test_a_blob_arrives_whole_with_length_and_digest(live, large):
    answer = live.client.get(large)

    assert answer.content == LARGE
    assert answer.headers["Content-Length"] == str(len(LARGE))
    assert answer.headers["Docker-Content-Digest"] == digest_of(LARGE)
    assert answer.headers["Accept-Ranges"] == "bytes"


def test_head_has_the_length_and_no_body(live, large):
    with live.connect() as peer:
        for _ in range(2):  # a body would be taken for the next answer
            peer.sendall(
                f"HEAD {large} HTTP/1.1\r\nHost: x\r\nAuthorization: {BASIC}\r\n\r\n".encode()
            )
            answer = http.client.HTTPResponse(peer, method="HEAD")
            answer.begin()
            assert answer.status == 200
            assert answer.headers["Content-Length"] == str(len(LARGE))


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1048570-1048589", 1048570, 1048590),
        ("bytes=4194300-", 4194300, 4194304),
        ("bytes=-5", 4194299, 4194304),
        ("bytes=5-99999999", 5, 4194304),
    ],
)
def test_a_range_is_206_with_exactly_its_bytes(live, large, asked, start, stop):
    answer = live.client.get(large, headers={"Range": asked})

    assert answer.status_code == 206
    assert answer.content == LARGE[start:stop]
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(LARGE)}"


@pytest.mark.parametrize("asked", ["bytes=4194304-", "bytes=99999999-", "bytes=500-0", "bytes=-0"])
def test_a_range_beyond_the_end_is_416(live, large, asked):
    answer = live.client.get(large, headers={"Range": asked})

    assert (answer.status_code, codes(answer)) == (416, ["RANGE_INVALID"])
    assert answer.headers["Content-Range"] == f"bytes */{len(LARGE)}"


def test_several_ranges_come_as_parts(live, large):
    answer = live.client.get(large, headers={"Range": "bytes=0-3,2000000-2000003"})

    assert answer.status_code == 206
    assert answer.headers["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert LARGE[:4] in answer.content
    assert LARGE[2000000:2000004] in answer.content


@pytest.mark.parametrize("form", ['"{}"', "{}", 'W/"{}"', '"other", "{}"', "*"])
def test_what_the_client_has_is_304(live, large, form):
    answer = live.client.get(large, headers={"If-None-Match": form.format(digest_of(LARGE))})

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == f'"{digest_of(LARGE)}"'


def test_a_connection_is_kept_over_many_answers(live, large):
    connection = http.client.HTTPConnection(*live.address, timeout=10)
    try:
        for headers in ({}, {"Range": "bytes=0-0"}, {"If-None-Match": "*"}, {"Range": "bytes=9-0"}):
            connection.request("GET", large, headers={"Authorization": BASIC, **headers})
            connection.getresponse().read()
            local = connection.sock.getsockname()
            connection.request("GET", "/healthz")
            assert connection.getresponse().read() == b'{"status":"ok"}'
            assert connection.sock.getsockname() == local
    finally:
        connection.close()


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(live, large):
    for _ in range(5):
        with live.connect() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.sendall(
                f"GET {large} HTTP/1.1\r\nHost: x\r\nAuthorization: {BASIC}\r\n\r\n".encode()
            )
            peer.recv(100)

    assert live.client.get(large).content == LARGE


def test_http_1_0_gets_a_length_and_a_close(live, large):
    received = live.exchange(f"GET {large} HTTP/1.0\r\nAuthorization: {BASIC}\r\n\r\n".encode())

    head, _, body = received.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(LARGE)}".encode() in head
    assert body == LARGE


@pytest.mark.parametrize("damage", ["lost", "flipped"])
def test_a_damaged_blob_breaks_the_connection_and_never_looks_whole(tmp_path, damage):
    with running(tmp_path / "data") as live:
        image = live.image()
        place = f"/v2/{image}/blobs/{live.push(image, LARGE)}"
        _damage(tmp_path / "data" / "packs", damage)

        with pytest.raises(httpx.RemoteProtocolError):
            live.client.get(place)

        live.errors.expect("cut short", "damaged: ")
        live.errors.wait_for("cut short")


def test_what_was_sound_and_left_memory_is_checked_when_it_comes_back(tmp_path):
    with running(tmp_path / "data") as live:
        image = live.image()
        place = f"/v2/{image}/blobs/{live.push(image, LARGE)}"
        packs = tmp_path / "data" / "packs"
        assert live.client.get(place).content == LARGE
        _forget(packs)
        assert live.client.get(place).content == LARGE

        _damage(packs, "flipped")
        _forget(packs)
        with pytest.raises(httpx.RemoteProtocolError):
            live.client.get(place)

        live.errors.expect("cut short", "damaged: ")
        live.errors.wait_for("cut short")


def _forget(packs):
    """Make the kernel drop what it holds of the packs."""
    for path in packs.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        drop(descriptor)
        os.close(descriptor)


def _damage(packs, kind):
    for path in packs.iterdir():
        path.chmod(0o600)
        with path.open("r+b") as file:
            middle = path.stat().st_size // 2
            if kind == "lost":
                file.truncate(middle)
            elif middle:
                file.seek(middle)
                byte = file.read(1)[0]
                file.seek(middle)
                file.write(bytes((byte ^ 1,)))
