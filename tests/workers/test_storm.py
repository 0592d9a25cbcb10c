"""Pushes go on while the daemon is killed again and again."""

import os
import signal
import threading

import pytest

from tests.workers.servers import IMAGE, Server, ask, digest_of, serving

pytestmark = pytest.mark.slow


class Pushing(threading.Thread):
    """Pushes blobs in three steps, each of which may meet the daemon dead, until it is told."""

    def __init__(self, server: Server, seed: int, is_over: threading.Event) -> None:
        super().__init__()
        self._connection = server.connect()
        self._seed = seed
        self._is_over = is_over
        self.acknowledged: list[str] = []
        self.others: set[int] = set()

    def run(self) -> None:
        turn = 0
        while not self._is_over.is_set():
            turn += 1
            self._push(f"{self._seed} {turn} ".encode() * 30_000)

    def _push(self, content: bytes) -> None:
        digest = digest_of(content)
        status, headers, _ = ask(self._connection, "POST", f"{IMAGE}/blobs/uploads/")
        if status == 202:
            status, headers, _ = ask(self._connection, "PATCH", headers["Location"], content)
        if status == 202:
            location = f"{headers['Location']}?digest={digest}"
            status, headers, _ = ask(self._connection, "PUT", location)
        if status == 201:
            self.acknowledged.append(digest)
        else:
            self.others.add(status)


def test_nothing_that_was_acknowledged_is_lost_with_a_daemon(tmp_path):
    is_over = threading.Event()
    with serving(tmp_path, "--workers", "2") as server:
        server.wait_greeting()
        pushing = [Pushing(server, seed, is_over) for seed in range(3)]
        for each in pushing:
            each.start()
        try:
            for times in (2, 3, 4):
                os.kill(server.children()["daemon"], signal.SIGKILL)
                server.wait_ready("daemon", times)
                done = sum('"status":201' in line for line in server.log.lines)
                server.log.wait_for(lambda line: '"status":201' in line, done + 3)
        finally:
            is_over.set()
            for each in pushing:
                each.join()

        acknowledged = [digest for each in pushing for digest in each.acknowledged]
        assert len(acknowledged) >= 9
        assert set().union(*(each.others for each in pushing)) <= {503}
        for digest in acknowledged:
            status, _, body = server.call("GET", f"{IMAGE}/blobs/{digest}")
            assert (status, digest_of(body)) == (200, digest)
        assert server.call("POST", "/api/v1/fsck")[2].endswith(b'"drift":[]}')
