"""Several processes that serve a proxy repository, some of which are killed while a blob comes."""

import os
import re
import secrets
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.orlop import Orlop
from tests.e2e.programs import wait_until
from tests.frontend.live import digest_of, read_to_end
from tests.frontend.sources import Gate, saying, silent
from tests.proxy.pulling import layer
from tests.upstream.faulty import answer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
SIZE = 6 << 20
CLIENTS = 24  # so that each process has some


@dataclass
class Served:
    """An Orlop of two workers and a daemon."""

    orlop: Orlop
    supervisor: subprocess.Popen[bytes]
    proxy: str = ""

    def take(self, digest: str, kind: str = "blobs") -> tuple[bytes, bool]:
        """Pull something; returns what came, and whether that was all that was promised."""
        connection = self.orlop.registry.connect()
        connection.connect()
        with connection.sock as peer:
            peer.settimeout(60)
            authorization = self.orlop.registry.authorization
            head = f"GET /v2/{self.proxy}/app/{kind}/{digest} HTTP/1.1\r\nHost: x\r\n"
            own = f"Authorization: {authorization}\r\nConnection: close\r\n\r\n"
            peer.sendall((head + own).encode())
            received = read_to_end(peer)
        head_, _, body = received.partition(b"\r\n\r\n")
        said = re.search(rb"(?i)\r\ncontent-length: (\d+)", head_)
        is_whole = head_.startswith(b"HTTP/1.1 200") and said is not None
        return body, is_whole and said is not None and len(body) == int(said[1])

    def children(self) -> dict[int, list[str]]:
        """The processes, and their command lines."""
        threads = Path(f"/proc/{self.supervisor.pid}/task").iterdir()
        listed = " ".join((each / "children").read_text() for each in threads).split()
        return {
            int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            for pid in listed
        }

    def daemon(self) -> int:
        (pid,) = [pid for pid, words in self.children().items() if "daemon" in words]
        return pid

    def fetching(self, port: int) -> int:
        """The process that is connected to the upstream on `port`."""
        remote = f":{port:04X} 01 "
        for pid in self.children():
            lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()
            inodes = {each.split()[9] for each in lines if remote in each}
            links = {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
            if links & {f"socket:[{inode}]" for inode in inodes}:
                return pid
        raise LookupError(port)

    def is_clean(self) -> None:
        """Nothing drifts, and nothing is left that a collection does not free."""
        data = str(self.orlop.data)
        self.orlop.command("gc", "--data", data)
        self.orlop.command("fsck", "--data", data)


@pytest.fixture
def orlop(tmp_path):
    return Orlop(tmp_path)


@pytest.fixture
def served(orlop, far):
    with orlop.serve("--workers", "2") as supervisor:
        # The first worker answers before the second one is there to get its part of the clients.
        wait_until(lambda: ready(orlop) == 3, "daemon and workers are ready", supervisor, orlop.log)
        made = Served(orlop, supervisor)
        made.proxy = new_repository(orlop, far)
        yield made


def ready(orlop):
    return orlop.log.read_text().count("is ready as process")


def new_repository(orlop, far):
    name = f"local/p{secrets.token_hex(3)}"
    data = ("--data", str(orlop.data))
    orlop.command("repository", "create", name, "--proxy", far.url, "--ttl", "0", *data)
    return name


def all_pull(served, digest, gate):
    """Many begin to pull; returns what becomes of them, once the blob is on its way."""
    pool = ThreadPoolExecutor(CLIENTS)
    asked = [pool.submit(served.take, digest) for _ in range(CLIENTS)]
    assert gate.is_reached.wait(20)
    return pool, asked


def test_many_clients_of_two_processes_are_one_download(served, far):
    content = layer(SIZE)
    digest = far.blob(content)
    gate = Gate(content, 1 << 20)
    far.misbehave("GET", digest, gate)
    pool, asked = all_pull(served, digest, gate)
    gate.open()
    taken = [each.result() for each in asked]
    pool.shutdown()

    assert [is_whole for _, is_whole in taken] == [True] * CLIENTS
    assert {digest_of(body) for body, _ in taken} == {digest}
    assert len(far.asked("GET", digest)) == 1
    served.is_clean()


def test_when_the_process_that_fetches_is_killed_the_others_go_on(served, far):
    content = layer(SIZE)
    digest = far.blob(content)
    gate = Gate(content, 1 << 20)
    far.misbehave("GET", digest, gate)
    pool, asked = all_pull(served, digest, gate)
    os.kill(served.fetching(far.port), signal.SIGKILL)
    gate.open()
    taken = [each.result() for each in asked]
    pool.shutdown()

    whole = [body for body, is_whole in taken if is_whole]
    assert {digest_of(body) for body in whole} <= {digest}
    assert all(content.startswith(body) for body, is_whole in taken if not is_whole)
    assert 0 < len(whole) < CLIENTS
    assert served.take(digest) == (content, True)
    served.is_clean()


def test_when_the_process_that_asks_for_a_manifest_is_killed_another_one_does(served, far):
    digest = far.image(layer(10))
    far.misbehave("GET", "/t", silent())
    with ThreadPoolExecutor(CLIENTS) as pool:
        asked = [pool.submit(served.take, "t", "manifests") for _ in range(CLIENTS)]
        wait_until(lambda: len(far.asked("GET", "/t")) == 1, "one of them asks")
        os.kill(served.fetching(far.port), signal.SIGKILL)
        taken = [each.result() for each in asked]

    whole = [body for body, is_whole in taken if is_whole]
    assert {digest_of(body) for body in whole} == {digest}
    assert len(whole) < CLIENTS
    assert digest_of(served.take("t", "manifests")[0]) == digest
    served.is_clean()


@pytest.mark.parametrize("is_back", [False, True], ids=["away", "back"])
def test_when_the_daemon_is_killed_all_answers_go_on(served, far, is_back):
    content = layer(SIZE)
    digest = far.blob(content)
    gate = Gate(content, 1 << 20)
    far.misbehave("GET", digest, gate)
    pool, asked = all_pull(served, digest, gate)
    os.kill(served.daemon(), signal.SIGKILL)
    if is_back:  # and has forgotten who appends, who has nothing to append yet
        wait_until(lambda: ready(served.orlop) == 4, "the daemon is back")
        time.sleep(0.5)
    gate.open()
    taken = [each.result() for each in asked]
    pool.shutdown()

    assert [is_whole for _, is_whole in taken] == [True] * CLIENTS
    assert {digest_of(body) for body, _ in taken} == {digest}
    assert len(far.asked("GET", digest)) <= 4  # both may go on: they do not push each other out
    served.is_clean()


def test_wrong_bytes_are_kept_by_no_process(served, far):
    content = layer(SIZE)
    digest = far.blob(content)
    wrong = saying(answer(200, layer(SIZE)), keeps=True)
    far.misbehave("GET", digest, wrong)
    with ThreadPoolExecutor(CLIENTS) as pool:
        taken = list(pool.map(lambda _: served.take(digest), range(CLIENTS)))

    assert {digest_of(body) for body, is_whole in taken if is_whole} <= {digest}
    assert served.take(digest) == (content, True)
    served.is_clean()


def test_a_server_that_ends_while_a_blob_comes_keeps_nothing_of_it(orlop, far):
    content = layer(SIZE)
    digest = far.blob(content)
    gate = Gate(content, 1 << 20)
    far.misbehave("GET", digest, gate)
    with orlop.serve("--workers", "2") as supervisor:
        served = Served(orlop, supervisor, new_repository(orlop, far))
        pool = ThreadPoolExecutor(1)
        asked = pool.submit(served.take, digest)
        assert gate.is_reached.wait(20)
        for pid in served.children():
            os.kill(pid, signal.SIGKILL)
        supervisor.kill()
    gate.open()
    assert not asked.result()[1]
    pool.shutdown()

    with orlop.serve("--workers", "2") as supervisor:
        again = Served(orlop, supervisor, served.proxy)
        assert again.take(digest) == (content, True)
        again.is_clean()
