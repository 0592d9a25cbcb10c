"""Servers to measure, each a real process on a free port with a folder of its own."""

import contextlib
import http.client
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

READY_SECONDS = 30.0
_PASSWORD = secrets.token_urlsafe(12)  # of every registry of this run: data outlives a server
_PEER = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  cache: {{blobdescriptor: inmemory}}
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@dataclass(frozen=True)
class Server:
    """A running registry. `image` is a name that can be pushed to."""

    name: str
    port: int
    pid: int
    image: str
    user: str
    password: str
    data: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """Credentials, if it wants any."""
        if not self.user:
            return {}
        both = f"{self.user}:{self.password}".encode()
        return {"Authorization": f"Basic {b64encode(both).decode()}"}

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def anonymous_bytes(self) -> int:
        """Anonymous memory of the process now."""
        return _smaps(self.pid, "Anonymous")

    def cpu_seconds(self) -> float:
        """User and system time of the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _smaps(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    raise KeyError(field)


@contextlib.contextmanager
def orlop(data: Path) -> Iterator[Server]:
    """The registry of this project, as `orlop serve` starts it."""
    port, password = _free_port(), _PASSWORD
    command = [sys.executable, "-m", "frontend.main", "serve"]
    command += ["--data", str(data), "--listen", f"127.0.0.1:{port}"]
    environment = os.environ | {"ORLOP_ADMIN_PASSWORD": password, "ORLOP_LOG__LEVEL": "error"}
    with _running(command, environment, data.with_suffix(".log")) as pid:
        _wait_ready(port, "/readyz")
        yield Server("orlop", port, pid, "local/images/bench", "admin", password, data)


@contextlib.contextmanager
def docker_registry(data: Path) -> Iterator[Server]:
    """Debian's docker-registry 2.8.2, without authentication (which costs it nothing then)."""
    program = shutil.which("docker-registry")
    if program is None:
        sys.exit("bench: the Debian package docker-registry is not installed")
    port = _free_port()
    data.mkdir(parents=True, exist_ok=True)
    configuration = data.with_suffix(".yml")
    configuration.write_text(_PEER.format(root=data, port=port))
    command = [program, "serve", str(configuration)]
    with _running(command, dict(os.environ), data.with_suffix(".log")) as pid:
        _wait_ready(port, "/v2/")
        yield Server("docker-registry", port, pid, "bench", "", "", data)


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[int]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)  # noqa: S603 - our own command
        try:
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_ready(port: int, path: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        time.sleep(0.005)
    sys.exit(f"bench: nothing answers on port {port}")
