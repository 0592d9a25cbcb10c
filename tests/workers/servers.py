"""A real `orlop serve` with its processes, watched through what it writes and what /proc says."""

import base64
import fcntl
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse"  # noqa: S105 - of servers under test
AUTH = {"Authorization": "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()}
IMAGE = "/v2/local/images/app"
PATIENCE = 30  # seconds for anything that happens at all
_numbers = count(1)


class Lines:
    """What a process and its children write, line by line."""

    def __init__(self, stream) -> None:
        self.lines: list[str] = []
        self.is_ended = False
        self._changed = threading.Condition()
        self._stream = stream
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._stream:
            for line in self._stream:
                with self._changed:
                    self.lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self.is_ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def wait_for(self, wanted: Callable[[str], bool], times: int = 1) -> str:
        """Wait for a line; returns the last of as many as are wanted."""

        def found() -> list[str]:
            return [line for line in self.lines if wanted(line)]

        with self._changed:
            self._changed.wait_for(lambda: len(found()) >= times or self.is_ended, PATIENCE)
        assert len(found()) >= times, self.text
        return found()[times - 1]

    def wait_end(self) -> None:
        """Wait until nobody is left who could write."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.is_ended, PATIENCE), self.text


class Server:
    """One under test."""

    def __init__(self, process: "subprocess.Popen[str]", data: Path) -> None:
        self.process = process
        self.data = data
        self.out = Lines(process.stdout)
        self.log = Lines(process.stderr)
        self.address = ("127.0.0.1", 0)
        self.connections: list[http.client.HTTPConnection] = []

    def wait_greeting(self) -> str:
        line = self.out.wait_for(lambda line: line.startswith("Orlop serves "))
        self.address = ("127.0.0.1", int(line.strip().rpartition(":")[2]))
        self.out.wait_for(lambda line: "docker push" in line)
        return self.out.text

    def wait_ready(self, name: str, times: int = 1) -> int:
        """Wait until a process is ready for the n-th time; returns its number."""
        line = self.log.wait_for(lambda line: f'"{name} is ready as process' in line, times)
        return int(json.loads(line)["event"].rpartition(" ")[2])

    def children(self) -> dict[str, int]:
        """Name → pid of the processes that run now."""
        found = {}
        for pid in _children(self.process.pid):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                if "frontend.workers.child" in words:
                    name = " ".join(words[words.index("frontend.workers.child") + 1 :]).strip()
                    found[name] = pid
        return found

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        self.connections.append(connection)
        connection.connect()
        return connection

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str):
        """One request on a connection of its own: status, headers, body."""
        connection = self.connect()
        try:
            return ask(connection, method, path, body, **headers)
        finally:
            connection.close()

    def push(self, content: bytes) -> str:
        digest = digest_of(content)
        status, _, body = self.call("POST", f"{IMAGE}/blobs/uploads/?digest={digest}", content)
        assert status == 201, body
        return digest

    def who(self, connection: http.client.HTTPConnection) -> int:
        """The number of the process that answers on this connection, by its access log."""
        path = f"{IMAGE}/manifests/none-{next(_numbers)}"
        status, _, _ = ask(connection, "GET", path)
        assert status == 404
        return json.loads(self.log.wait_for(lambda line: f'"path":"{path}"' in line))["pid"]

    def both(self) -> dict[str, http.client.HTTPConnection]:
        """An open connection to each of two workers."""
        found: dict[str, http.client.HTTPConnection] = {}
        names = {pid: name for name, pid in self.children().items()}
        spare = []
        while len(found) < 2 and len(spare) < 64:
            connection = self.connect()
            name = names[self.who(connection)]
            if name in found:
                spare.append(connection)
            else:
                found[name] = connection
        for connection in spare:
            connection.close()
        assert sorted(found) == ["worker 1", "worker 2"]
        return found

    @contextmanager
    def without_daemon(self) -> Iterator[None]:
        """Kill the daemon, and let none start for a block."""
        with self.holding_data(lambda: os.kill(self.children()["daemon"], signal.SIGKILL)):
            yield

    @contextmanager
    def holding_data(self, end_daemon: Callable[[], None]) -> Iterator[None]:
        """Hold the data directory's lock for a block, from the moment when the daemon leaves it."""
        with (self.data / "lock").open("rb") as file:
            waiting = threading.Thread(target=fcntl.flock, args=(file, fcntl.LOCK_EX))
            waiting.start()
            end_daemon()
            waiting.join()
            yield

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM; returns the exit code once all processes are gone."""
        self.signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self.log.wait_end()
        return code


def ask(connection, method: str, path: str, body: bytes | None = None, **headers: str):
    """One request as admin: status, headers, body."""
    connection.request(method, path, body, AUTH | headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@contextmanager
def serving(
    folder: Path,
    *arguments: str,
    sockets: Sequence[socket.socket] = (),
    stdin: int = subprocess.DEVNULL,
    **environment: str,
) -> Iterator[Server]:
    """Serve `folder`/data for a block; every process is gone afterwards, whatever happened."""
    server = launch(folder, *arguments, sockets=sockets, stdin=stdin, **environment)
    try:
        yield server
    finally:
        for connection in server.connections:
            connection.close()
        everybody = [server.process.pid, *_children(server.process.pid)]
        for pid in everybody:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        server.process.wait()
        server.log.wait_end()
        server.out.wait_end()


def launch(
    folder: Path,
    *arguments: str,
    sockets: Sequence[socket.socket] = (),
    stdin: int = subprocess.DEVNULL,
    **environment: str,
) -> Server:
    """Start one without waiting for anything; the caller ends it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ORLOP_")}
    own |= {"ORLOP_ADMIN_PASSWORD": PASSWORD} | environment
    command = [sys.executable, "-m", "frontend.main", "serve", "--data", str(folder / "data")]
    configuration = folder / "orlop.toml"
    configuration.touch()
    if not sockets and "listen" not in configuration.read_text(encoding="utf-8"):
        command += ["--listen", "127.0.0.1:0"]
    numbers = [each.fileno() for each in sockets]
    if numbers:
        command = [sys.executable, "-c", _HAND_OVER, *map(str, numbers), *command]
    process = subprocess.Popen(  # noqa: S603 - our own program
        [*command, "--config", str(configuration), *arguments],
        cwd=ROOT,
        env=own,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=numbers,
    )
    return Server(process, folder / "data")


# What systemd does between fork and exec: sockets from descriptor 3 on, and who is meant by them.
_HAND_OVER = """
import itertools, os, sys
numbers = [int(word) for word in itertools.takewhile(str.isdecimal, sys.argv[1:])]
for aside, number in enumerate(numbers, 100):
    os.dup2(number, aside)
for aside in range(100, 100 + len(numbers)):
    os.dup2(aside, aside - 97)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(numbers)))
command = sys.argv[1 + len(numbers):]
os.execv(command[0], command)
"""


def _children(pid: int) -> list[int]:
    """The children of all its threads: whichever started one, the kernel lists it there."""
    found = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += (task / "children").read_text(encoding="ascii").split()
    return [int(each) for each in found]
