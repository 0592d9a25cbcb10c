"""Two workers and a daemon, as real processes: what a client sees, and when one dies."""

import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from tests.workers.servers import AUTH, IMAGE, PASSWORD, ask, digest_of, serving

pytestmark = pytest.mark.slow

TABLES_OF_READERS = {"index/lock.mdb", "packs.fence"}  # what whoever reads writes, below the data


@pytest.fixture
def two(tmp_path):
    """Two workers, just started."""
    with serving(tmp_path, "--workers", "2") as server:
        server.wait_greeting()
        yield server


def test_what_is_pushed_through_one_is_pulled_through_the_other(two):
    content = os.urandom(300_000)
    one, other = two.both().values()

    status, _, _ = ask(one, "POST", f"{IMAGE}/blobs/uploads/?digest={digest_of(content)}", content)
    pulled = ask(other, "GET", f"{IMAGE}/blobs/{digest_of(content)}")

    assert status == 201
    assert (pulled[0], pulled[2]) == (200, content)
    assert two.stop() == 0


def test_an_upload_goes_on_through_another_worker(two):
    first, second = os.urandom(200_000), os.urandom(100_000)
    digest = digest_of(first + second)
    one, other = two.both().values()

    _, headers, _ = ask(one, "POST", f"{IMAGE}/blobs/uploads/")
    location = headers["Location"]
    patched = ask(one, "PATCH", location, first)
    again = ask(other, "PATCH", patched[1]["Location"], second)
    put = ask(other, "PUT", f"{again[1]['Location']}?digest={digest}")

    assert [patched[0], again[0], put[0]] == [202, 202, 201]
    assert ask(one, "GET", f"{IMAGE}/blobs/{digest}")[2] == first + second


def test_a_killed_worker_is_replaced_and_the_other_does_not_notice(two):
    connections = two.both()
    before = two.children()
    survivor = connections["worker 2"]

    os.kill(before["worker 1"], signal.SIGKILL)
    statuses = {two.call("GET", "/healthz")[0] for _ in range(20)}
    replaced = two.wait_ready("worker 1", 2)

    assert statuses == {200}
    assert two.who(survivor) == before["worker 2"]
    assert two.children() == before | {"worker 1": replaced}
    assert sorted(two.both()) == ["worker 1", "worker 2"]
    assert two.stop() == 0


def test_reads_go_on_without_the_daemon_and_writes_come_back(two):
    digest = two.push(b"a" * 100_000)
    reader = two.both()["worker 2"]
    statuses: set[int] = set()
    is_back = threading.Event()

    def read() -> None:
        while not is_back.is_set():
            statuses.add(ask(reader, "GET", f"{IMAGE}/blobs/{digest}")[0])

    thread = threading.Thread(target=read)
    thread.start()
    write = ("POST", f"{IMAGE}/blobs/uploads/?digest={digest_of(b'b')}", b"b")
    try:
        with two.without_daemon():
            refused = two.call(*write)
            ready = two.call("GET", "/readyz")
            os.kill(two.children()["worker 1"], signal.SIGKILL)
            two.wait_ready("worker 1", 2)
            found = [ask(each, "GET", f"{IMAGE}/blobs/{digest}")[2] for each in two.both().values()]
        two.wait_ready("daemon", 2)
        again = two.call(*write)
    finally:
        is_back.set()
        thread.join()

    assert (refused[0], refused[1]["Retry-After"]) == (503, "1")
    assert (ready[0], b"waiting for the storage daemon" in ready[2]) == (200, True)
    assert found == [b"a" * 100_000] * 2  # a worker starts without the daemon too
    assert again[0] == 201
    assert statuses == {200}
    assert two.call("GET", "/readyz")[2] == b'{"status":"ready"}'
    assert two.call("GET", f"{IMAGE}/blobs/{digest}")[2] == b"a" * 100_000


def test_an_upload_is_committed_before_the_end(two):
    content = os.urandom(1 << 20)
    with socket.create_connection(two.address, timeout=30) as peer:
        peer.sendall(
            f"POST {IMAGE}/blobs/uploads/?digest={digest_of(content)} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {AUTH['Authorization']}\r\nExpect: 100-continue\r\n"
            f"Content-Length: {len(content)}\r\n\r\n".encode()
        )
        assert peer.recv(100).startswith(b"HTTP/1.1 100")  # it is under way
        two.signal(signal.SIGTERM)
        two.log.wait_for(lambda line: "ended with 0" in line)  # the other worker has drained
        peer.sendall(content)
        answer = peer.recv(1 << 16)

    assert answer.startswith(b"HTTP/1.1 201")
    assert two.process.wait(30) == 0


def test_a_download_is_finished_before_the_end(two):
    content = os.urandom(32 << 20)  # more than the sockets hold
    digest = two.push(content)
    with socket.create_connection(two.address, timeout=30) as peer:
        peer.sendall(
            f"GET {IMAGE}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {AUTH['Authorization']}\r\n\r\n".encode()
        )
        received = peer.recv(1 << 16)
        two.signal(signal.SIGTERM)
        two.log.wait_for(lambda line: "ended with 0" in line)  # the other worker has drained
        while data := peer.recv(1 << 20):
            received += data

    assert received.endswith(content)
    assert two.process.wait(30) == 0
    events = [line for line in two.log.lines if " ended with " in line]
    assert "daemon" in events[-1]  # the workers needed it


def test_a_signal_to_every_process_at_once_ends_them_in_order(two):
    two.push(b"a")

    for pid in [*two.children().values(), two.process.pid]:  # as a service manager may do it
        os.kill(pid, signal.SIGTERM)
    code = two.process.wait(30)
    two.log.wait_end()

    assert code == 0
    ends = [line for line in two.log.lines if "ended " in line]
    assert '"event": "daemon, process' in ends[-1]
    assert "ended with 0" in ends[-1]


def test_a_second_signal_ends_everything_at_once(two):
    digest = two.push(os.urandom(32 << 20))
    with socket.create_connection(two.address, timeout=30) as peer:
        peer.sendall(
            f"GET {IMAGE}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {AUTH['Authorization']}\r\n\r\n".encode()
        )
        peer.recv(1)
        two.signal(signal.SIGTERM)
        two.log.wait_for(lambda line: "ended with 0" in line)
        two.signal(signal.SIGTERM)

        assert two.process.wait(10) == 1
        two.log.wait_end()


def test_nothing_outlives_a_supervisor_that_was_killed(two):
    children = two.children()

    two.signal(signal.SIGKILL)
    two.process.wait()
    two.log.wait_end()  # whoever lives could still write to it

    assert sorted(children) == ["daemon", "worker 1", "worker 2"]
    assert not any(_lives(pid) for pid in children.values())


def test_no_worker_can_write_packs_or_index_and_none_has_the_password(two):
    digest = two.push(os.urandom(100_000))
    for connection in two.both().values():
        assert ask(connection, "GET", f"{IMAGE}/blobs/{digest}")[0] == 200

    for name, pid in two.children().items():
        opened = _opened(pid)
        writable = {path for path, flags in opened if flags & os.O_ACCMODE != os.O_RDONLY}
        held = {str(Path(path).relative_to(two.data)) for path in writable} - TABLES_OF_READERS
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        is_daemon = name == "daemon"
        assert any(path.startswith(("packs/", "index/")) for path in held) == is_daemon, name
        assert (PASSWORD.encode() in environment) == is_daemon
        assert is_daemon or any(path.endswith("data.mdb") for path, _ in opened)


def _lives(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _opened(pid: int) -> list[tuple[str, int]]:
    """Path and flags of the files below a data directory that a process has open."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        path = str(link.readlink())
        info = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text(encoding="ascii")
        flags = next(line for line in info.splitlines() if line.startswith("flags:"))
        if "/data/" in path:
            found.append((path, int(flags.split()[1], 8)))
    return found


@pytest.mark.parametrize("connections", [16, 64])
def test_connections_opened_at_once_are_shared(two, connections):
    opened = [two.connect() for _ in range(connections)]
    counts: dict[int, int] = {}

    for connection in opened:
        pid = two.who(connection)
        counts[pid] = counts.get(pid, 0) + 1

    assert sum(counts.values()) == connections
    assert len(counts) == 2
    assert min(counts.values()) >= connections * 5 // 16, counts  # without turns: 3 of 16, 22 of 64
