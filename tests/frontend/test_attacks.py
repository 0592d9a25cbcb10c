"""What a few connections may do to a server, and what the others notice. Hardening §1 and §2.

Everything against a real process with short limits. Run with -s to see what the bystander saw.
"""

import contextlib
import itertools
import os
import random
import resource
import select
import socket
import threading
import time
from collections.abc import Callable

import pytest

from tests.frontend.bystander import bystander
from tests.frontend.live import BASIC, digest_of, head, read_to_end
from tests.frontend.process import Process, process
from tests.frontend.tracing import read_calls, traced

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MIB = 1 << 20
AUTH = f"Host: x\r\nAuthorization: {BASIC}\r\n".encode()
IMAGE = "local/images/app"
CONFIG = b'{"config":true}'
HEADER_SECONDS, STALL_SECONDS, IDLE_SECONDS = 2, 2, 6
SLACK_SECONDS = 8  # for a busy machine; a connection that is forgotten stays for ever
LAYER = random.Random(1).randbytes(32 * MIB)  # noqa: S311 - the same each time


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with process(
        tmp_path_factory.mktemp("attacked"),
        http__header_seconds=HEADER_SECONDS,
        http__stall_seconds=STALL_SECONDS,
        http__idle_seconds=IDLE_SECONDS,
    ) as server:
        server.push(IMAGE, LAYER)
        server.push(IMAGE, CONFIG)
        yield server


@pytest.fixture
def watched(server):
    """The server, while somebody else pulls; afterwards it is as before."""
    path = f"/v2/{IMAGE}/blobs/{digest_of(CONFIG)}"
    opened, memory = len(server.descriptors()), server.memory()
    with bystander(server, path, CONFIG) as one:
        yield server
        while len(one.attacked) < 100:  # a p99 of fewer is one request
            time.sleep(0.01)
    assert server.is_alive
    # Connections are accepted in turn: once a new one is answered, none of the test's still waits.
    with server.connect() as last:
        last.sendall(NEXT)
        assert last.recv(MIB)
    until = time.monotonic() + IDLE_SECONDS + SLACK_SECONDS
    # Packs stay open, and so does what a client keeps alive.
    while len(left := server.descriptors()) > opened + 4 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(left) <= opened + 4, "\n".join(sorted(left))
    assert server.memory() - memory < 64 * MIB


def get(path: str, extra: bytes = b"") -> bytes:
    return f"GET {path} HTTP/1.1\r\n".encode() + AUTH + extra + b"\r\n"


def begin(server: Process) -> str:
    answer = server.client.post(f"/v2/{IMAGE}/blobs/uploads/")
    return answer.headers["Location"]


# --- heads and framing -----------------------------------------------------------------------

NEXT = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
REFUSED = [
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nabcde",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 65536 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


def test_hundreds_of_doubtful_requests_are_refused_each(watched):
    for sent in REFUSED * 40:
        with watched.connect() as peer:
            peer.sendall(sent + NEXT)
            received = read_to_end(peer)
        assert head(received) in (b"400", b"431", b"501"), sent[:200]
        assert received.count(b"HTTP/1.1 ") == 1, sent[:200]


def test_a_flood_behind_a_refused_request_is_dropped_in_turns_and_not_for_long(watched, tmp_path):
    (tmp_path / "flood").write_bytes(bytes(64 * MIB))
    began = time.monotonic()

    def send() -> None:
        with watched.connect() as peer, (tmp_path / "flood").open("rb") as flood:
            peer.setblocking(True)
            peer.sendall(REFUSED[0])
            with contextlib.suppress(OSError):
                while True:
                    os.sendfile(peer.fileno(), flood.fileno(), 0, 64 * MIB)

    senders = [threading.Thread(target=send) for _ in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()

    assert time.monotonic() - began < SLACK_SECONDS


def test_a_header_line_a_second_is_cut_at_the_limit(watched):
    began = time.monotonic()
    peers = [watched.connect() for _ in range(50)]
    for peer in peers:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    left = dict.fromkeys(peers, b"")
    for number in itertools.count():
        for peer in list(left):
            with contextlib.suppress(OSError):
                peer.sendall(f"X-{number}: y\r\n".encode())
        for peer in select.select(list(left), [], [], 1)[0]:
            with contextlib.suppress(OSError):
                assert head(read_to_end(peer)) in (b"408", b"")
            peer.close()
            del left[peer]
        if not left:
            break
        assert time.monotonic() - began < HEADER_SECONDS + SLACK_SECONDS


def test_thousands_that_leave_in_the_middle_leave_nothing_behind(watched):
    dice = random.Random(2)  # noqa: S311 - the same each time
    whole = [get(f"/v2/{IMAGE}/blobs/{digest_of(LAYER)}"), NEXT * 20, *REFUSED]
    for number in range(2000):
        sent = dice.choice(whole)
        with watched.connect() as peer:
            if number % 2:  # a reset instead of an end
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            with contextlib.suppress(OSError):
                peer.sendall(sent[: dice.randrange(len(sent) + 1)])


def test_ten_thousand_requests_at_once_are_answered_and_wait_their_turn(watched):
    asked = get(f"/v2/{IMAGE}/blobs/{digest_of(CONFIG)}")
    count = 10_000
    with watched.connect() as peer:
        thread = threading.Thread(target=peer.sendall, args=(asked * count,))
        thread.start()
        received = bytearray()
        while received.count(CONFIG, -len(CONFIG)) == 0 or received.count(CONFIG) < count:
            data = peer.recv(MIB)
            assert data
            received += data
        thread.join()

    assert received.count(b"HTTP/1.1 200 OK\r\n") == count


# --- bodies ----------------------------------------------------------------------------------


def test_a_body_of_a_byte_a_second_is_408_and_what_came_is_kept(watched):
    places = [begin(watched) for _ in range(5)]
    peers = [watched.connect() for _ in places]
    for place, peer in zip(places, peers, strict=True):
        peer.sendall(
            f"PATCH {place} HTTP/1.1\r\n".encode() + AUTH + b"Content-Length: 90000\r\n\r\nabc"
        )
    began, left, sent = time.monotonic(), list(peers), 3
    while left:
        ready = select.select(left, [], [], 1)[0]
        for peer in ready:
            assert head(read_to_end(peer)) == b"408"
            peer.close()
            left.remove(peer)
        if not ready:
            sent += 1
            for peer in left:
                peer.sendall(b"x")
        # Seconds without any byte would be `stall_seconds`; ten are given to a slow one.
        assert time.monotonic() - began < 10 + STALL_SECONDS + SLACK_SECONDS
    assert sent > 5

    for place in places:
        held = watched.client.get(place).headers["Range"]
        assert 4 <= int(held.removeprefix("0-")) < sent
        start = int(held.removeprefix("0-")) + 1
        went_on = watched.client.patch(
            place, content=b"more", headers={"Content-Range": f"{start}-{start + 3}"}
        )
        assert went_on.status_code == 202
        assert watched.client.delete(place).status_code == 204


def test_a_megabyte_in_chunks_of_a_byte_is_taken_and_keeps_nobody_waiting(watched):
    content = random.Random(3).randbytes(MIB)  # noqa: S311 - the same each time
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in content) + b"0\r\n\r\n"
    place = f"/v2/{IMAGE}/blobs/uploads/?digest={digest_of(content)}"
    with watched.connect() as peer:
        peer.sendall(
            f"POST {place} HTTP/1.1\r\n".encode()
            + AUTH
            + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        peer.sendall(chunks)
        assert head(read_to_end(peer)) == b"201"


def test_manifests_of_a_hundred_thousand_brackets_are_refused_in_passing(watched):
    for opening in (b"[", b'{"a":'):
        body = opening * 100_000
        for _ in range(20):
            answer = watched.client.put(f"/v2/{IMAGE}/manifests/deep", content=body)
            assert answer.status_code == 400


# --- readers ---------------------------------------------------------------------------------


def test_readers_that_stop_are_cut_at_the_stall_limit(watched):
    asked = get(f"/v2/{IMAGE}/blobs/{digest_of(LAYER)}")
    peers = [watched.connect(receive=4096) for _ in range(40)]
    began = time.monotonic()
    for peer in peers:
        peer.sendall(asked)
    hung_up = select.poll()
    for peer in peers:
        hung_up.register(peer, select.POLLRDHUP | select.POLLHUP)
    left = len(peers)
    while left:
        for number, _ in hung_up.poll(1000):
            hung_up.unregister(number)
            left -= 1
        assert time.monotonic() - began < STALL_SECONDS + SLACK_SECONDS
    for peer in peers:
        peer.close()

    assert time.monotonic() - began > STALL_SECONDS / 2


# Bytes/s; 128 KiB/s are wanted. A large buffer of the reader's says only now and then that it has
# room again.
@pytest.mark.parametrize(("rate", "receive"), [(160 << 10, 64 << 10), (300 << 10, None)])
def test_a_reader_that_is_slow_and_steady_gets_everything(watched, rate, receive):
    content = LAYER[: 24 * rate]
    path = watched.push(IMAGE, content)
    began, received = time.monotonic(), 0
    with watched.connect(receive=receive) as peer:
        peer.sendall(get(path, b"Connection: close\r\n"))
        while data := peer.recv(32 << 10):
            received += len(data)
            time.sleep(max(0, received / rate - (time.monotonic() - began)))

    assert received > len(content)  # the head too
    assert time.monotonic() - began > 20


# --- crowds ----------------------------------------------------------------------------------


@pytest.fixture
def many_descriptors():
    """Room for 5,000 sockets of ours."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert before[1] >= 6000, "5,000 sockets need a hard limit of 6,000 descriptors"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 6000), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_five_thousand_that_say_nothing_are_closed_and_nobody_else_waits(many_descriptors, watched):
    watched.limit_descriptors(6000)
    crowd = []
    try:
        crowd.extend(watched.connect() for _ in range(5000))
        began = watched.cpu_seconds()
        for peer in crowd:
            assert read_to_end(peer) == b""
        spent = watched.cpu_seconds() - began
    finally:
        for peer in crowd:
            peer.close()

    assert spent < 0.5 * (IDLE_SECONDS + SLACK_SECONDS)


def test_without_descriptors_it_rests_says_so_once_and_recovers(tmp_path):
    with process(tmp_path, http__idle_seconds=60) as server:
        server.client.get("/healthz").raise_for_status()
        server.limit_descriptors(64)
        crowd = [server.connect() for _ in range(200)]
        last = server.connect()
        last.sendall(NEXT)
        wait_until(lambda: "Too many open files" in server.log.read_text())
        began = server.cpu_seconds()
        with traced(server.pid, tmp_path / "strace"):
            assert select.select([last], [], [], 2) == ([], [], [])
        spent = server.cpu_seconds() - began
        server.client.get("/healthz").raise_for_status()  # who was there before is served
        for peer in crowd:
            peer.close()
        assert last.recv(100).startswith(b"HTTP/1.1 200")
        last.close()
        said = [each for each in server.records() if "Too many open files" in str(each)]

    calls = read_calls(tmp_path / "strace")
    tries = sum(call.name.startswith("accept") for call in calls)
    assert 2 < tries < 100  # ten a second
    assert len(calls) < 500
    assert spent < 0.5
    assert len(said) == 1


# --- its end ---------------------------------------------------------------------------------


def test_nobody_keeps_a_server_from_ending(tmp_path):
    with process(tmp_path, http__shutdown_seconds=1) as server:
        path = server.push(IMAGE, LAYER)
        with contextlib.ExitStack() as crowd:
            for sent in (
                get(path),
                b"GET / HTTP/1.1\r\n",
                f"PATCH {begin(server)} HTTP/1.1\r\n".encode()
                + AUTH
                + b"Content-Length: 9\r\n\r\n",
                b"",
                NEXT,
            ):
                for _ in range(10):
                    crowd.enter_context(server.connect(receive=4096)).sendall(sent)
            server.client.get("/healthz").raise_for_status()
            began = time.monotonic()
            code = server.end()

            assert code == 0
            assert time.monotonic() - began < 1 + SLACK_SECONDS


# --- memory ----------------------------------------------------------------------------------


def test_a_push_onto_a_slow_disk_is_held_back_and_not_held_in_memory(tmp_path):
    size, pieces = 300 * MIB, 300
    block = random.Random(4).randbytes(MIB)  # noqa: S311 - the same each time
    with process(tmp_path) as server:
        server.push(IMAGE, LAYER)  # buffers that stay are there
        place = begin(server)
        peak, before, stop = 0, server.memory(), threading.Event()

        def look() -> None:
            nonlocal peak
            while not stop.wait(0.02):
                peak = max(peak, server.memory())

        looking = threading.Thread(target=look)
        looking.start()
        slow = ("-e", "trace=pwrite64", "-e", "inject=pwrite64:delay_enter=40000")  # 50 MB/s
        try:
            with traced(server.pid, tmp_path / "strace", *slow):
                answer = server.client.patch(place, content=iter([block] * pieces), timeout=120)
        finally:
            stop.set()
            looking.join()
        held = server.client.get(place).headers["Range"]
        server.client.delete(place).raise_for_status()

    assert answer.status_code == 202
    assert held == f"0-{size - 1}"
    assert peak - before < 64 * MIB


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + SLACK_SECONDS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)
