"""What ends other servers through h2 ends one request of ours, or one connection. Hardening §1."""

import contextlib
import random
import socket
import time

import pytest
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from frontend.settings import Http, Settings
from tests.frontend.certificates import make_pair
from tests.frontend.h2_client import ALIVE, HEAD, Peer, resident, unharmed
from tests.frontend.live import BASIC, digest_of, read_to_end, running

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CALM, CANCEL = 11, 8


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({b":method": b"CONNECT", b":path": None, b":scheme": None}, 400),
        ({b":method": b"CONNECT", b":protocol": b"websocket"}, 501),
        ({b":method": b"TRACE"}, 501),
        ({b":method": b"G\x80T"}, 400),
        ({b":method": b"GET / HTTP/1.1\r\nX:"}, 400),
        ({b":path": b"/\x80"}, 400),
        ({b":path": b"/\xff/../x"}, 400),
        ({b":path": b"*"}, 400),
        ({b":path": b"http://evil/"}, 400),
        ({b":path": b""}, 400),
        ({b":path": None}, 400),
        ({b":authority": b"x/y"}, 400),
        ({b":authority": b"x\x80"}, 400),
        ({b":authority": None}, 400),
        ({b"content-length": b"+5"}, 400),
        ({b"content-length": b"5, 5"}, 400),
        ({b"expect": b"more"}, 417),
        ({b"transfer-encoding": b"chunked"}, 400),
        ({b"Upper": b"case"}, 400),
        ({b"x": b"a\r\nb: c"}, 400),
        ({b"x-%d" % number: b"y" for number in range(200)}, 431),
        ({b"x": b"y" * 40_000}, 431),
    ],
)
def test_a_request_that_cannot_be_is_refused(h2_live, changed, status):
    fields = {**dict(HEAD), **changed}
    with unharmed(h2_live), Peer(h2_live) as peer:
        number = peer.begin(
            [(name, value) for name, value in fields.items() if value is not None], is_all=False
        )
        answer = peer.wait(number)[0]

    if answer.fields:
        assert answer.status == status
    else:  # h2 saw it first: there it ends the connection
        assert peer.goodbye


@pytest.mark.slow
def test_an_early_refusal_leaves_the_connection_to_others(h2_live):
    place = "/v2/local/images/x"
    post, put = f"{place}/blobs/uploads/?digest={digest_of(b'')}", f"{place}/manifests/t"
    asked = [(b"POST", post, b"Basic eDp5", 401), (b"PUT", put, BASIC.encode(), 413)] * 6
    with unharmed(h2_live), Peer(h2_live) as peer:  # as much as all windows hold, and more
        for method, path, credentials, status in asked:
            head = [(b":method", method), (b":scheme", b"http"), (b":authority", b"x")]
            head += [(b":path", path.encode()), (b"authorization", credentials)]
            number = peer.begin(head, is_all=False)
            peer.send_body(number, b"x" * (5 << 20 if status == 413 else 300_000))
            assert peer.wait(number)[0].status == status
        after = peer.get("/healthz")

    assert after.status == 200


def test_many_priorities_before_their_streams_end_the_connection(h2_live):
    with unharmed(h2_live), Peer(h2_live) as peer:
        peer.send(*(PriorityFrame(number, depends_on=0) for number in range(1, 12_001, 2)))
        peer.wait_for_end()

    assert peer.goodbye == CALM


def test_some_priorities_change_nothing(h2_live):
    with Peer(h2_live) as peer:
        peer.send(*(PriorityFrame(number, depends_on=0) for number in range(1, 201, 2)))
        peer.send(PriorityFrame(1, depends_on=3, exclusive=True))

        assert peer.get("/healthz").status == 200


def test_an_upgrade_to_h2c_is_ignored(clear_h2):
    with unharmed(clear_h2):
        for settings in (b"!!", b"AAMAAABkAARAAAAAAAIAAAAA", b""):
            received = clear_h2.exchange(
                ALIVE
                + b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
                + b"HTTP2-Settings: %b\r\n\r\n" % settings
            )
            assert received.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "junk",
    [b"\0" * 1000, b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 300, b"\xff" * 9, b"\0\0\4\1"],
)
def test_garbage_after_the_preface_ends_the_connection(clear_h2, junk):
    with unharmed(clear_h2), clear_h2.connect() as peer:
        peer.sendall(PREFACE + SettingsFrame(0).serialize() + junk)
        with contextlib.suppress(OSError):  # the server was quicker
            peer.shutdown(socket.SHUT_WR)
        read_to_end(peer)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mutated_frames_end_connections_and_nothing_else(clear_h2):
    generator = random.Random(1)  # noqa: S311 - the same mutations each time
    image = clear_h2.image()
    place = f"/v2/{image}/blobs/{clear_h2.push(image, b'content')}".encode()
    with unharmed(clear_h2):
        for _ in range(1500):
            encoder = Encoder()
            parts = [
                SettingsFrame(0),
                HeadersFrame(1, encoder.encode(HEAD), flags=["END_HEADERS"]),
                DataFrame(1, b"x" * 50),
                HeadersFrame(3, encoder.encode([*HEAD[:2], (b":path", place), HEAD[3]])),
                ContinuationFrame(3, encoder.encode([(b"x", b"y")]), flags=["END_HEADERS"]),
                WindowUpdateFrame(3, 5),
                PriorityFrame(5, depends_on=3, exclusive=True),
                PingFrame(0, b"12345678"),
                DataFrame(3, b"y", flags=["END_STREAM"]),
                RstStreamFrame(1, CANCEL),
            ]
            sent = bytearray(b"".join(part.serialize() for part in parts))
            for _ in range(generator.randint(1, 4)):
                at = generator.randrange(len(sent) + 1)
                sent[at : at + generator.choice([0, 1, 1, 3])] = generator.randbytes(
                    generator.choice([0, 1, 1, 3])
                )
            with clear_h2.connect() as peer:
                with contextlib.suppress(OSError):
                    peer.sendall(PREFACE + sent)
                    peer.shutdown(socket.SHUT_WR)
                read_to_end(peer)


def test_a_sudden_end_in_the_middle_harms_nobody(h2_live):
    image = h2_live.image()
    place = f"/v2/{image}/blobs/{h2_live.push(image, b'x' * (4 << 20))}"
    with unharmed(h2_live):
        for _ in range(5):
            with Peer(h2_live) as peer:
                for _ in range(5):
                    peer.ask("GET", place, body=b"")
                peer.ask("POST", f"/v2/{image}/blobs/uploads/", body=None)
                peer.read()


# --- those who wait -----------------------------------------------------------------------


@pytest.fixture(scope="module", params=[False, True], ids=["clear", "secure"])
def hasty(request, tmp_path_factory):
    """A server that waits for nobody."""
    folder = tmp_path_factory.mktemp("hasty")
    pair = make_pair(folder) if request.param else None
    secure = {} if pair is None else _files(pair)
    http = Http(
        listen="127.0.0.1:0",
        http2=True,
        header_seconds=0.3,
        idle_seconds=0.6,
        stall_seconds=0.4,
        shutdown_seconds=0.5,
        **secure,
    )
    with running(folder / "data", Settings(http=http), pair and pair.trust()) as server:
        yield server


def _files(pair):
    return {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key)}


@pytest.mark.slow
def test_a_client_that_opens_no_window_loses_its_requests_and_the_others_go_on(hasty):
    image = hasty.image()
    place = f"/v2/{image}/blobs/{hasty.push(image, b'x' * (8 << 20))}"
    before = resident()
    with Peer(hasty, window=0) as peer:
        asked = [peer.ask("GET", place, body=b"") for _ in range(32)]
        answers = peer.wait(*asked)
        grown = resident() - before
        after = peer.wait(peer.ask("HEAD", place, body=b""))[0]

    assert {answer.reset for answer in answers} == {CANCEL}
    assert {len(answer.body) for answer in answers} == {0}
    assert after.status == 200
    assert grown < 24 << 20


@pytest.mark.slow
def test_a_client_that_reads_nothing_is_cut_off(hasty):
    image = hasty.image()
    place = f"/v2/{image}/blobs/{hasty.push(image, b'x' * (32 << 20))}"
    with Peer(hasty, window=(1 << 31) - 1) as peer:
        peer.h2.increment_flow_control_window((1 << 31) - 1 - 65_535)
        number = peer.ask("GET", place, body=b"")
        time.sleep(1.5)
        peer.wait(number)

    assert peer.is_over
    assert not peer.answers[number].is_whole


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", PREFACE[:10], PREFACE, PREFACE + b"\0\0\4\1"])
def test_a_client_that_says_nothing_more_is_cut_off(hasty, sent):
    if hasty.trust is not None:
        hasty.trust.set_alpn_protocols(["h2"])
    began = time.monotonic()
    with hasty.connect() as peer:
        peer.sendall(sent)
        read_to_end(peer)

    assert 0.2 < time.monotonic() - began < 5


@pytest.mark.slow
def test_pings_alone_keep_no_connection(hasty):
    began = time.monotonic()
    with Peer(hasty) as peer:
        while not peer.is_over and time.monotonic() - began < 8:
            peer.send(PingFrame(0, b"12345678"))
            peer.read()
            time.sleep(0.02)

    assert time.monotonic() - began < 5


@pytest.mark.slow
@pytest.mark.parametrize("is_secure", [False, True])
@pytest.mark.parametrize("window", [0, (1 << 31) - 1])
def test_a_stalled_reader_does_not_keep_the_server_from_ending(tmp_path, is_secure, window):
    secure = _files(pair := make_pair(tmp_path)) if is_secure else {}
    http = Http(listen="127.0.0.1:0", http2=True, stall_seconds=60, shutdown_seconds=0.2, **secure)
    trust = pair.trust() if is_secure else None
    with contextlib.ExitStack() as outer:
        with running(tmp_path / "data", Settings(http=http), trust) as server:
            image = server.image()
            place = f"/v2/{image}/blobs/{server.push(image, bytes(32 << 20))}"
            peer = outer.enter_context(Peer(server, window=window))
            if window:
                peer.h2.increment_flow_control_window(window - 65_535)
            number = peer.ask("GET", place, body=b"")
            while not peer.answers[number].fields:
                peer.read()
            began = time.monotonic()

        assert time.monotonic() - began < 5


@pytest.mark.slow
def test_a_request_under_way_is_finished_when_the_server_ends_and_no_new_one_begins(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("frontend.server.connection.FRESH_SECONDS", 0.1)  # for others than this one
    http = Http(listen="127.0.0.1:0", http2=True, shutdown_seconds=5)
    with contextlib.ExitStack() as outer:
        with running(tmp_path / "data", Settings(http=http)) as server:
            image = server.image()
            peer = outer.enter_context(Peer(server))
            place = f"/v2/{image}/blobs/uploads/?digest={digest_of(b'abc')}"
            number = peer.ask("POST", place, body=None)
            peer.get("/healthz")
            server.run(_set, server.server.stop)
            while (late := peer.get("/healthz")).reset is None:
                pass  # it was before the end
            time.sleep(1)
            peer.send_body(number, b"abc")
            answer = peer.wait(number)[0]
            peer.wait_for_end()

        assert late.reset == 7
        assert (answer.status, answer.is_whole) == (201, True)
        assert peer.goodbye == 0


async def _set(event):
    event.set()
