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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bench import process
from bench.cores import Cores, running_on

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
    pid: int | None  # None: not ours, and nobody tells us
    image: str
    user: str
    password: str
    data: Path
    host: str = "127.0.0.1"
    said: tuple[tuple[str, str], ...] | None = None  # header fields instead of user and password

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """Credentials, if it wants any."""
        if self.said is not None:
            return dict(self.said)
        if not self.user:
            return {}
        both = f"{self.user}:{self.password}".encode()
        return {"Authorization": f"Basic {b64encode(both).decode()}"}

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=120)

    def anonymous_bytes(self) -> int:
        """Anonymous memory of the process now."""
        assert self.pid is not None  # noqa: S101 - asked of our own processes only
        return process.smaps_bytes(self.pid, "Anonymous")


@contextlib.contextmanager
def orlop(
    data: Path,
    name: str = "orlop",
    *,
    tree: Path | None = None,
    arguments: Sequence[str] = (),
    cores: Cores | None = None,
) -> Iterator[Server]:
    """The registry of this project, as `orlop serve` starts it; of another checkout with `tree`."""
    port, password = _free_port(), _PASSWORD
    command = [_python_of(tree), "-m", "frontend.main", "serve"]
    command += ["--data", str(data), "--listen", f"127.0.0.1:{port}", *arguments]
    environment = os.environ | {"ORLOP_ADMIN_PASSWORD": password, "ORLOP_LOG__LEVEL": "error"}
    log = data.with_suffix(".log")
    with _running(command, environment, log, cores=cores, folder=tree) as child:
        _wait_ready(child, port, "/readyz", log)
        yield Server(name, port, child.pid, "local/images/bench", "admin", password, data)


@contextlib.contextmanager
def docker_registry(data: Path, cores: Cores | None = None) -> Iterator[Server]:
    """Debian's docker-registry 2.8.2, without authentication (which costs it nothing then)."""
    program = shutil.which("docker-registry")
    if program is None:
        sys.exit("bench: the Debian package docker-registry is not installed")
    port = _free_port()
    data.mkdir(parents=True, exist_ok=True)
    configuration = data.with_suffix(".yml")
    configuration.write_text(_PEER.format(root=data, port=port))
    command = [program, "serve", str(configuration)]
    log = data.with_suffix(".log")
    with _running(command, dict(os.environ), log, cores=cores) as child:
        _wait_ready(child, port, "/v2/", log)
        yield Server("docker-registry", port, child.pid, "bench", "", "", data)


def peer(name: str, url: str) -> Server:
    """A registry that runs already: http://[user:password@]127.0.0.1:PORT[/image].

    Raises:
        ValueError: the URL is another, or not of this machine: load never leaves it.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost") or not parts.port:
        raise ValueError(f"{url!r} is not http://[user:password@]127.0.0.1:PORT[/image]")
    image = parts.path.strip("/") or "bench"
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    pid = process.listener_of(parts.port)
    return Server(name, parts.port, pid, image, user, password, Path(), parts.hostname)


@contextlib.contextmanager
def _running(
    command: list[str],
    environment: dict[str, str],
    log: Path,
    *,
    cores: Cores | None,
    folder: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start it on the servers' cores; whatever happens, it is gone afterwards."""
    pinned = running_on(cores.server) if cores else contextlib.nullcontext()
    with log.open("wb") as output:
        with pinned:
            child = subprocess.Popen(  # noqa: S603 - our own command
                command, env=environment, stdout=output, stderr=output, cwd=folder
            )
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(40)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _python_of(tree: Path | None) -> str:
    """The environment of that checkout, if it has one: it may need other packages than ours."""
    own = tree / ".venv/bin/python" if tree else None
    return str(own) if own and own.exists() else sys.executable


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_ready(child: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        time.sleep(0.005)
    sys.exit(f"bench: nothing answers on port {port}\n{log.read_text()[-2000:]}")
