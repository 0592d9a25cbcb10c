"""Large bodies over the wire: taken from the socket unseen, and read when that does not go on."""

import errno
import socket
import threading
import time

import pytest
import trio

from cas.uploads import staging
from cas.uploads.sessions import Sessions
from frontend.server import intake
from frontend.server.wire import Wire
from tests.anomaly import replaced
from tests.cas.pushing import noise
from tests.frontend.live import BASIC, digest_of, read_to_end

MIB = 1 << 20
CONTENT = noise(9 * MIB)
STATUS = "GET {} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nConnection: close\r\n\r\n"


@pytest.fixture
def received(monkeypatch):
    """How many bytes each call took from a socket."""
    sizes = []
    call = staging.receive

    def receive(path, offset, peer, most):
        size = call(path, offset, peer, most)
        sizes.append(size - offset)
        return size

    monkeypatch.setattr(staging, "receive", receive)
    return sizes


def head(location: str, size: int = len(CONTENT), *fields: str) -> bytes:
    named = [f"Authorization: {BASIC}", f"Content-Length: {size}", "Host: x", *fields]
    return ("\r\n".join([f"PATCH {location} HTTP/1.1", *named]) + "\r\n\r\n").encode()


def held(live, location: str) -> int:
    """Bytes that the session holds, once no request has it any more."""
    return int(live.client.get(location).headers["Range"].partition("-")[2]) + 1


@pytest.fixture
async def wired():
    """A client's socket, and the server's end of it."""
    listener = trio.socket.socket()
    with listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as client:
            accepted, _ = await listener.accept()
            with accepted:
                yield client, Wire(trio.SocketStream(accepted), 1.0)


async def test_a_wire_waits_until_enough_is_there(wired):
    client, wire = wired
    client.sendall(bytes(999))

    assert not await wire.wait_arrived(1000, 0.02)
    client.sendall(b"x")
    assert await wire.wait_arrived(1000, 5.0)


async def test_a_wire_that_waited_for_much_tells_of_little_again(wired):
    client, wire = wired
    client.sendall(b"x")
    await wire.wait_arrived(1000, 0.02)

    with trio.fail_after(5):
        assert await wire.read(10) == b"x"
        client.sendall(b"y")
        assert await wire.read(10) == b"y"


async def test_a_wire_does_not_wait_for_more_of_a_client_that_left(wired):
    client, wire = wired
    client.shutdown(socket.SHUT_WR)

    with trio.fail_after(5):
        assert not await wire.wait_arrived(1000, 60.0)


def test_a_large_blob_is_taken_from_the_socket_and_is_whole(live, received):
    image = live.image()

    digest = live.push(image, CONTENT)

    assert sum(received) > len(CONTENT) - MIB
    assert live.client.get(f"/v2/{image}/blobs/{digest}").content == CONTENT


def test_a_body_that_is_not_large_is_read(live, received):
    live.push(live.image(), CONTENT[: intake.LEAST - 1])

    assert received == []


def test_what_follows_a_body_that_was_taken_is_the_next_request(live, received):
    location = live.begin(live.image())

    answer = live.exchange(head(location) + CONTENT + STATUS.format(location, BASIC).encode())

    first, second = answer.split(b"HTTP/1.1 ")[1:]
    assert (first[:3], second[:3]) == (b"202", b"204")
    assert b"0-%d" % (len(CONTENT) - 1) in second
    assert sum(received) > len(CONTENT) - MIB


def test_a_client_that_waits_to_be_asked_is_asked(live, received):
    location = live.begin(live.image())
    with live.connect() as peer:
        peer.sendall(head(location, len(CONTENT), "Expect: 100-continue", "Connection: close"))
        assert peer.recv(100).startswith(b"HTTP/1.1 100")
        peer.sendall(CONTENT)

        assert b"HTTP/1.1 202" in read_to_end(peer)
    assert sum(received) == len(CONTENT)


def test_a_client_that_slows_down_is_read_as_any_other(live, received, monkeypatch):
    monkeypatch.setattr(intake, "LULL_SECONDS", 0.02)
    location = live.begin(live.image())
    with live.connect() as peer:
        peer.sendall(head(location, len(CONTENT), "Connection: close") + CONTENT[: 5 * MIB])
        time.sleep(0.1)
        taken = sum(received)
        peer.sendall(CONTENT[5 * MIB :])

        assert b"HTTP/1.1 202" in read_to_end(peer)
    assert 4 * MIB < taken == sum(received)
    digest = digest_of(CONTENT)
    assert live.client.put(location, params={"digest": digest}).status_code == 201


def test_of_a_client_that_leaves_all_that_came_is_kept(live, received):
    location = live.begin(live.image())
    with live.connect() as peer:
        peer.sendall(head(location) + CONTENT[: 5 * MIB])
        peer.shutdown(socket.SHUT_WR)
        read_to_end(peer)

    assert held(live, location) == 5 * MIB


def test_a_system_that_cannot_take_from_a_socket_reads(live, received):
    def wrap(name, call):
        def fail(*args, **kwargs):
            raise OSError(errno.EINVAL, "cannot")

        return fail

    with replaced(("splice",), wrap):
        live.push(live.image(), CONTENT)

    assert received == [0]


def test_a_disk_that_is_full_meanwhile_is_told_and_ends_the_connection(live):
    location = live.begin(live.image())

    def wrap(name, call):
        def fill(source, target, count, **where):
            if where.get("offset_dst", 0) > 6 * MIB:
                raise OSError(errno.ENOSPC, "full")
            return call(source, target, count, **where)

        return fill

    with replaced(("splice",), wrap):
        answer = live.exchange(head(location) + CONTENT)

    assert answer.split()[1] == b"507"
    assert b"connection: close" in answer.lower()
    assert 6 * MIB < held(live, location) < len(CONTENT)


def test_tls_is_read(secure, received):
    secure.push(secure.image(), CONTENT)

    assert received == []


def test_what_another_client_appends_is_not_taken_for_ours(live, monkeypatch):
    """Else so much less of our body would be left, and its end would be read as a request."""
    location = live.begin(live.image())
    note_grown, is_waiting = Sessions.note_grown, threading.Event()

    async def note_late(sessions, session, size):
        if size >= 4 * MIB and not is_waiting.is_set():
            is_waiting.set()
            await trio.sleep(0.5)  # as when much is not hashed yet
        return await note_grown(sessions, session, size)

    monkeypatch.setattr(Sessions, "note_grown", note_late)
    hidden = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    content = noise(11 * MIB) + hidden.ljust(MIB, b" ")
    with live.connect() as peer:
        sender = threading.Thread(
            target=peer.sendall, args=(head(location, len(content)) + content,)
        )
        sender.start()
        assert is_waiting.wait(10)
        other = live.client.patch(location, content=bytes(MIB))
        received = read_to_end(peer)
        sender.join()

    assert other.status_code == 202
    assert received.count(b"HTTP/1.1 ") == 1
    assert received.startswith(b"HTTP/1.1 416 ")
