"""SIGHUP: the configuration is taken up, and nobody who connects meanwhile is turned away."""

import http.client
import signal
import threading
from contextlib import contextmanager

import pytest

from tests.workers.servers import IMAGE, Server, ask, digest_of, serving

pytestmark = pytest.mark.slow


class Knocking(threading.Thread):
    """Connects, asks once, and begins again, until it is told to stop."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._is_over = threading.Event()
        self.answers = 0
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._is_over.is_set():
            connection = http.client.HTTPConnection(*self._server.address, timeout=30)
            try:
                connection.request("GET", "/healthz")
                answer = connection.getresponse()
                if answer.read() != b'{"status":"ok"}':
                    self.failures.append(str(answer.status))
                self.answers += 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            finally:
                connection.close()

    @contextmanager
    def during(self):
        self.start()
        try:
            yield
        finally:
            self._is_over.set()
            self.join()


@pytest.fixture(params=["1", "2"])
def server(request, tmp_path):
    """A server of one process, and one of several."""
    with serving(tmp_path, "--workers", request.param) as server:
        server.wait_greeting()
        yield server


def configure(server: Server, text: str) -> None:
    (server.data.parent / "orlop.toml").write_text(text)


def test_a_new_configuration_is_taken_up_and_nobody_is_refused(server):
    digest = server.push(b"a" * 100_000)
    large = b"x" * 2000
    before = server.children()
    configure(server, "[limits]\nmanifest_bytes = 1000\n[gc]\ngrace_seconds = 5\n")
    knocking = Knocking(server)

    with knocking.during():
        server.signal(signal.SIGHUP)
        _wait_taken_up(server, before)
        told = knocking.answers
        while knocking.answers < told + 10 and not knocking.failures:
            knocking.join(0.01)
    refused = server.call("PUT", f"{IMAGE}/manifests/tag", large)

    assert knocking.failures == []
    assert refused[0] == 413
    assert server.call("GET", f"{IMAGE}/blobs/{digest}")[2] == b"a" * 100_000
    assert server.push(b"b" * 100_000)
    assert not set(before.values()) & set(server.children().values())
    assert sum("Orlop serves" in line for line in server.out.lines) == 1
    assert server.stop() == 0
    assert not (server.data / "run" / "admin.sock").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[http]\nheader_secs = 1\n", "http.header_seconds"),
        ("[http]\nstall_seconds = 'soon'\n", "http.stall_seconds"),
        ("[storage]\nmin_free_bytes = 1\n[storage\n", "orlop.toml"),
    ],
)
def test_a_bad_configuration_changes_nothing(server, text, said):
    before = server.children()
    connection = server.connect()
    ask(connection, "GET", "/healthz")
    configure(server, text)

    server.signal(signal.SIGHUP)
    line = server.log.wait_for(lambda line: "the configuration was not taken up" in line)

    assert said in line
    assert ask(connection, "GET", "/healthz")[0] == 200  # the same process, and the same connection
    assert server.children() == before


def test_a_daemon_that_cannot_take_it_up_comes_back_as_it_was(tmp_path):
    with serving(tmp_path, "--workers", "2") as server:
        server.wait_greeting()
        before = server.children()
        configure(server, "[gc]\ngrace_seconds = 5\n[limits]\nmanifest_bytes = 1000\n")

        with server.holding_data(lambda: server.signal(signal.SIGHUP)):
            line = server.log.wait_for(lambda line: "was not taken up: the daemon" in line)
            reading = server.call("GET", "/v2/")
        server.wait_ready("daemon", 2)
        written = server.call("PUT", f"{IMAGE}/manifests/tag", b"x" * 2000)
        after = server.children()

        assert str(server.data) in line  # it says what is held
        assert reading[0] == 200
        assert written[0] == 400  # it is no manifest, but not too long
        assert before["daemon"] != after["daemon"]
        assert before | {"daemon": 0} == after | {"daemon": 0}
        assert server.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_needs_a_restart_is_said_so(tmp_path, workers):
    (tmp_path / "orlop.toml").write_text("[http]\nlisten = '127.0.0.1:0'\n")
    with serving(tmp_path, "--workers", workers) as server:
        server.wait_greeting()
        configure(server, "[http]\nlisten = 'localhost:0'\n")
        server.signal(signal.SIGHUP)
        line = server.log.wait_for(lambda line: "the configuration was not taken up" in line)

        assert "http.listen has changed: that needs a restart" in line
        assert server.call("GET", "/healthz")[0] == 200


def test_the_number_of_workers_may_change(tmp_path):
    (tmp_path / "orlop.toml").write_text("[http]\nworkers = 2\n")
    with serving(tmp_path) as server:
        server.wait_greeting()
        configure(server, "[http]\nworkers = 3\n")
        server.signal(signal.SIGHUP)
        server.log.wait_for(lambda line: "the configuration was taken up" in line)
        more = sorted(server.children())

        assert more[:1] + more[-1:] == ["daemon", "worker 3"]
        assert server.stop() == 0


def test_one_process_becomes_several(tmp_path):
    with serving(tmp_path) as server:
        server.wait_greeting()
        digest = server.push(b"a")
        configure(server, "[http]\nworkers = 2\n")
        server.signal(signal.SIGHUP)
        server.wait_ready("worker 1")
        server.wait_ready("worker 2")

        assert sorted(server.both()) == ["worker 1", "worker 2"]
        assert server.call("GET", f"{IMAGE}/blobs/{digest}")[2] == b"a"
        assert digest == digest_of(b"a")
        assert server.stop() == 0


def _wait_taken_up(server: Server, before: dict[str, int]) -> None:
    if before:
        server.log.wait_for(lambda line: "the configuration was taken up" in line)
        server.log.wait_for(lambda line: "ended with 0" in line, 3)
    else:
        server.log.wait_for(lambda line: "is taken up by a new process" in line)
