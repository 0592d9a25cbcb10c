"""Where one message ends and the next begins, over the wire: nobody smuggles a request in."""

import random
import socket
import time

import pytest

from tests.frontend.live import BASIC, digest_of, read_to_end

AUTH = f"Authorization: {BASIC}\r\n".encode()
NEXT = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def statuses(received: bytes) -> list[bytes]:
    return [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(
    "sent",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\nabcd",
        b"Connection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0003\r\n\r\nabc",
    ],
)
def test_after_doubtful_framing_nothing_more_is_served(live, sent):
    received = live.exchange(b"POST /v2/ HTTP/1.1\r\nHost: x\r\n" + sent + NEXT)

    assert len(statuses(received)) == 1
    assert statuses(received)[0] in (b"400", b"501")
    assert b"Connection: close" in received


@pytest.mark.parametrize(
    "chunks",
    [b"4\nabcd\r\n0\r\n\r\n", b"4\r\nabcdX0\r\n\r\n", b"x\r\n", b"f" * 20 + b"\r\n", b"-1\r\n"],
)
def test_a_body_of_doubtful_chunks_is_refused_in_the_middle(live, chunks):
    location = live.begin(live.image())

    received = live.exchange(
        f"PATCH {location} HTTP/1.1\r\nHost: x\r\n".encode()
        + AUTH
        + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        + chunks
        + NEXT
    )

    assert statuses(received) == [b"400"]


def test_chunks_with_trailers_are_a_body_and_the_next_request_is_its_own(live):
    image = live.image()
    received = live.exchange(
        f"POST /v2/{image}/blobs/uploads/?digest={digest_of(b'abcde')} HTTP/1.1\r\n".encode()
        + b"Host: x\r\n"
        + AUTH
        + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nHost: evil\r\n\r\n"
        + NEXT
    )

    assert statuses(received) == [b"201", b"200"]


@pytest.mark.parametrize("pause", [0, 0.001])
def test_a_request_in_pieces_is_one_request(live, pause):
    sent = (
        f"POST /v2/{live.image()}/blobs/uploads/?digest={digest_of(b'xyz')} HTTP/1.1\r\n".encode()
        + b"Host: x\r\nContent-Length: 3\r\nConnection: close\r\n"
        + AUTH
        + b"\r\nxyz"
    )
    with live.connect() as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(sent), 5):
            peer.sendall(sent[at : at + 5])
            if pause:
                time.sleep(pause)
        received = read_to_end(peer)

    assert statuses(received) == [b"201"]


def test_hundreds_of_pipelined_requests_are_answered_in_order(live):
    kinds = [(b"/v2/", b"401"), (b"/healthz", b"200"), (b"/v2/x", b"404"), (b"/none", b"404")]
    order = [kinds[number * 7 % 4] for number in range(100)]
    asked = [b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path for path, _ in order]

    received = live.exchange(b"".join(asked) + NEXT)

    assert statuses(received) == [status for _, status in order] + [b"200"]


def test_what_follows_the_last_request_is_not_served(live):
    assert statuses(live.exchange(NEXT + NEXT)) == [b"200"]
    assert statuses(live.exchange(b"GET /v2/ HTTP/1.0\r\n\r\n" + NEXT)) == [b"401"]


def test_a_client_that_stops_sending_is_still_answered(live):
    with live.connect() as peer:
        peer.sendall(
            b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        peer.shutdown(socket.SHUT_WR)

        assert statuses(read_to_end(peer)) == [b"401", b"200"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mutated_requests_are_refused_or_answered_and_never_stick(live):
    generator = random.Random(1)  # noqa: S311 - the same mutations each time
    image = live.image()
    digest = live.push(image, b"content")
    seeds = [
        NEXT,
        f"GET /v2/{image}/blobs/{digest} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n".encode(),
        b"PUT /v2/local/images/x/manifests/t HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n" * 2,
        b"POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ]
    parts = [b"\r\n", b"\n", b"\0", b" ", b":", b"\xff", b"chunked", b"Content-Length: 5\r\n", b"0"]
    known = {b"200", b"206", b"400", b"401", b"404", b"405", b"408", b"411", b"413", b"416", b"417",
             b"431", b"501", b"202", b"201"}  # fmt: skip
    for _ in range(4000):
        sent = bytearray(generator.choice(seeds))
        for _ in range(generator.randint(1, 4)):
            at = generator.randrange(len(sent) + 1)
            cut = generator.choice([0, 0, 1, 3])
            sent[at : at + cut] = generator.choice(parts)
        with live.connect() as peer:
            peer.sendall(bytes(sent))
            peer.shutdown(socket.SHUT_WR)
            received = read_to_end(peer)
        assert set(statuses(received)) <= known, bytes(sent)

    assert live.stranger.get("/healthz").status_code == 200
