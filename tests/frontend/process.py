"""A real server in a process of its own, whose costs and whose end are seen from outside."""

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import httpx

from tests.frontend.live import ADMIN, PASSWORD, digest_of

ROOT = Path(__file__).parents[2]
END_SECONDS = 30  # for a process that was asked to end, on a busy machine


@dataclass
class Process:
    """A server under test. `port` is its public one."""

    popen: subprocess.Popen[str]
    port: int
    data: Path
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def is_alive(self) -> bool:
        return self.popen.poll() is None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def client(self) -> httpx.Client:
        """Signed in as admin; closed with the process."""
        return httpx.Client(base_url=self.url, auth=ADMIN, timeout=30, trust_env=False)

    def connect(self, *, receive: int | None = None) -> socket.socket:
        """A plain socket to the server; `receive` bytes at most wait in our kernel for us."""
        peer = socket.socket()
        peer.settimeout(30)
        if receive is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        peer.connect(("127.0.0.1", self.port))
        return peer

    def push(self, image: str, content: bytes) -> str:
        """Push a blob in one POST; returns its path."""
        digest = digest_of(content)
        place = f"/v2/{image}/blobs"
        answer = self.client.post(f"{place}/uploads/", params={"digest": digest}, content=content)
        assert answer.status_code == 201, answer.text
        return f"{place}/{digest}"

    # --- what it costs ---

    def cpu_seconds(self) -> float:
        """Processor time so far, of all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Bytes of anonymous memory: neither page cache nor code."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"RssAnon:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) << 10

    def descriptors(self) -> list[str]:
        """What its open descriptors are."""
        found = []
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.append(str(entry.readlink()))
        return found

    def limit_descriptors(self, count: int) -> None:
        """Let it open descriptors below `count` only."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (count, hard))

    def records(self) -> list[dict]:
        """What it logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def end(self) -> int:
        """Ask it to end; returns its exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(END_SECONDS)


@contextmanager
def process(folder: Path, **settings: object) -> Iterator[Process]:
    """Serve for a block; `http__stall_seconds=2` is a setting.

    Afterwards it ended in order and left no traceback, unless the test ended it.
    """
    log = folder / "log"
    with log.open("w") as errors:
        popen = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "frontend.main", "serve", "--data", folder / "data"],
            cwd=ROOT,
            env=_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    with popen:
        try:
            server = Process(popen, _port(popen, log), folder / "data", log)
            yield server
            server.client.close()
            code = server.end() if server.is_alive else 0
        finally:
            if popen.poll() is None:
                popen.kill()
        assert code == 0, log.read_text()[-4000:]
        tracebacks = [each for each in server.records() if "exception" in each]
        for each in tracebacks:
            sys.stdout.write(f"{each.pop('exception')}\n{each}\n")
        assert tracebacks == []


def _port(popen: subprocess.Popen[str], log: Path) -> int:
    assert popen.stdout is not None
    greeting = popen.stdout.readline()
    found = re.search(r"Orlop serves http://127\.0\.0\.1:(\d+)", greeting)
    assert found is not None, greeting + log.read_text()
    return int(found[1])


def _environment(settings: dict[str, object]) -> dict[str, str]:
    # Settings of the person who runs the tests must not reach the server under test.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORLOP_")}
    said = {
        "http__listen": "127.0.0.1:0",
        "http__shutdown_seconds": 2,
        "log__format": "json",
        "log__level": "warning",
    } | settings
    named = {f"ORLOP_{name.upper()}": str(value) for name, value in said.items()}
    return kept | named | {"ORLOP_ADMIN_PASSWORD": PASSWORD}
