"""Under a service manager: sockets come from it, and it is told how far we are. And what fails."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workers.servers import IMAGE, ROOT, serving

pytestmark = pytest.mark.slow

WAYS = pytest.mark.parametrize("workers", ["1", "2"])


@pytest.fixture
def manager(tmp_path):
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.settimeout(30)
        yield bound


def told(manager) -> str:
    return manager.recv(4096).decode()


@WAYS
def test_a_service_manager_is_told(tmp_path, manager, workers):
    address = str(tmp_path / "notify")
    with serving(tmp_path, "--workers", workers, NOTIFY_SOCKET=address) as server:
        first = told(manager)
        server.wait_greeting()
        assert server.call("GET", "/healthz")[0] == 200  # ready means ready
        inherited = [_environment(pid) for pid in server.children().values()]
        server.signal(signal.SIGHUP)
        reloading, ready = told(manager), told(manager)
        server.signal(signal.SIGTERM)
        last = told(manager)
        code = server.process.wait(30)

    assert len(inherited) == (3 if workers == "2" else 0)
    assert not any(b"NOTIFY_SOCKET" in each for each in inherited)  # they have nothing to tell
    assert first.startswith("READY=1\nSTATUS=serving")
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert ready.startswith("READY=1\n")
    assert last.startswith("STOPPING=1\n")
    assert code == 0


def _environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_a_terminal_that_goes_away_ends_the_server(tmp_path):
    ours, theirs = os.openpty()
    try:
        with serving(tmp_path, stdin=theirs) as server:
            server.wait_greeting()
            server.signal(signal.SIGHUP)
            server.log.wait_for(lambda line: "is taken up by a new process" in line)
            assert server.call("GET", "/healthz")[0] == 200
            os.close(theirs)
            theirs = -1
            os.close(ours)
            ours = -1
            server.signal(signal.SIGHUP)
            code = server.process.wait(30)
    finally:
        for each in (ours, theirs):
            if each >= 0:
                os.close(each)

    assert code == 0


def listening(address="127.0.0.1") -> socket.socket:
    bound = socket.socket()
    bound.bind((address, 0))
    bound.listen(16)
    return bound


@WAYS
def test_connections_that_came_before_the_server_are_answered(tmp_path, workers):
    with listening() as first, listening() as second:
        peers = [socket.create_connection(each.getsockname()) for each in (first, second)]
        for peer in peers:
            peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        with serving(tmp_path, "--workers", workers, sockets=(first, second)) as server:
            words = server.wait_greeting()
            answers = [peer.makefile("rb").read() for peer in peers]
            server.signal(signal.SIGHUP)  # they are handed on once more
            server.log.wait_for(lambda line: "the configuration" in line)
            later = server.call("GET", "/healthz")
            code = server.stop()
        for peer in peers:
            peer.close()
        port = first.getsockname()[1]

        assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * 2
        assert f"docker login -u admin 127.0.0.1:{port}" in words
        assert later[0] == 200
        assert code == 0


@WAYS
def test_what_cannot_be_listened_on_is_said_so(tmp_path, workers):
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wrong,
        serving(tmp_path, "--workers", workers, sockets=(wrong,)) as server,
    ):
        code = server.process.wait(30)
        server.log.wait_end()

    assert code == 1
    assert "cannot serve: descriptor 3 (from LISTEN_FDS) is no stream socket" in server.log.text


@WAYS
def test_a_second_server_on_the_same_data_is_refused_and_harms_nobody(tmp_path, workers):
    with serving(tmp_path, "--workers", "2") as server:
        server.wait_greeting()
        digest = server.push(b"a")
        with serving(tmp_path, "--workers", workers) as second:
            code = second.process.wait(30)
            second.log.wait_end()
        holder = server.children()["daemon"]
        found = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "frontend.main", "stats", "--data", str(server.data)],
            cwd=ROOT, check=False, capture_output=True,
        )  # fmt: skip

        assert code == 1
        assert f"process {holder} on" in second.log.text
        assert "Traceback" not in second.log.text
        assert second.out.text == ""
        assert found.returncode == 0  # the admin socket is still the first one's
        assert server.call("GET", f"{IMAGE}/blobs/{digest}")[2] == b"a"


def test_a_data_directory_that_cannot_be_is_said_so(tmp_path):
    (tmp_path / "data").write_text("a file")
    with serving(tmp_path, "--workers", "2") as server:
        code = server.process.wait(30)
        server.log.wait_end()

    assert code == 1
    assert re.search(r"orlop: cannot serve: .*data", server.log.text)
    assert "Traceback" not in server.log.text
    assert server.out.text == ""


def test_a_password_that_cannot_be_is_said_so_without_repeating_it(tmp_path):
    with serving(tmp_path, "--workers", "2", ORLOP_ADMIN_PASSWORD="secret" * 1000) as server:
        code = server.process.wait(30)
        server.log.wait_end()

    assert code == 1
    assert "ORLOP_ADMIN_PASSWORD must be" in server.log.text
    assert "secret" not in server.log.text + server.out.text


def test_a_new_password_is_told_of_even_if_the_start_fails_after_it(tmp_path):
    (tmp_path / "data" / "run" / "admin.sock").mkdir(parents=True)  # in the way
    with serving(tmp_path, "--workers", "2", ORLOP_ADMIN_PASSWORD="") as server:
        code = server.process.wait(30)
        server.log.wait_end()
        server.out.wait_end()

    assert code == 1
    assert "cannot serve" in server.log.text
    assert "Traceback" not in server.log.text
    assert f"The password of admin is in {server.data / 'admin-password'}" in server.out.text
    assert (server.data / "admin-password").exists()


def test_the_first_password_is_made_once_and_kept_for_its_owner(tmp_path):
    with serving(tmp_path, "--workers", "2", ORLOP_ADMIN_PASSWORD="") as server:
        words = server.wait_greeting()
        password = (server.data / "admin-password").read_text().strip()
        os.kill(server.children()["daemon"], signal.SIGKILL)
        server.wait_ready("daemon", 2)

        assert f"The password of admin is in {server.data / 'admin-password'}" in words
        assert password not in server.out.text + server.log.text
        assert (server.data / "admin-password").read_text().strip() == password


@pytest.mark.parametrize("workers", ["0", "65", "many", "-1"])
def test_a_number_of_workers_that_cannot_be_is_a_mistake_of_usage(tmp_path, workers):
    with serving(tmp_path, f"--workers={workers}") as server:
        code = server.process.wait(30)
        server.log.wait_end()

    assert code == 2
    assert "command line: http.workers" in server.log.text
