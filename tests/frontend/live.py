"""A real server on a free port, in a thread of the test process, with a real store."""

import base64
import contextlib
import hashlib
import logging
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import httpx
import msgspec
import structlog
import trio

from cas.local import open_store
from frontend.bootstrap import prepare
from frontend.registry.call import Registry
from frontend.server.serving import open_sockets
from frontend.service import build_registry, public_url, serving, store_settings
from frontend.settings import Http, Limits, Settings, Storage
from index.growth import Sample, note_growth

PASSWORD = secrets.token_urlsafe(12)
ADMIN = ("admin", PASSWORD)
BASIC = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
OCTETS = {"Content-Type": "application/octet-stream"}
PATIENCE_SECONDS = 20.0  # for what takes a moment, or a second where it is looked for each second
_numbers = count(1)


@dataclass
class Live:
    """A server under test. `client` is signed in as admin, `stranger` is nobody."""

    server: "_Thread"
    client: httpx.Client
    stranger: httpx.Client
    errors: "Errors"
    trust: ssl.SSLContext | None = None  # of a server under TLS

    @property
    def registry(self) -> Registry:
        return self.server.registry

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.url)
        return url.host, url.port

    def image(self, repository: str = "local/images") -> str:
        """A name that no other test uses."""
        return f"{repository}/image-{next(_numbers)}"

    def push(self, image: str, content: bytes, algorithm: str = "sha256") -> str:
        """Push a blob in one POST; returns its digest."""
        digest = digest_of(content, algorithm)
        answer = self.client.post(
            f"/v2/{image}/blobs/uploads/", params={"digest": digest}, content=content
        )
        assert answer.status_code == 201, answer.text
        return digest

    def begin(self, image: str, **parameters: str) -> str:
        """Begin a session; returns its Location."""
        answer = self.client.post(f"/v2/{image}/blobs/uploads/", params=parameters)
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"]

    def connect(self) -> socket.socket:
        """A socket to the server, under TLS if it is."""
        peer = socket.create_connection(self.address, timeout=10)
        if self.trust is None:
            return peer
        return self.trust.wrap_socket(
            peer, server_hostname=self.address[0], suppress_ragged_eofs=False
        )

    def exchange(self, sent: bytes) -> bytes:
        """Send bytes; returns everything until the server closes."""
        with self.connect() as peer:
            peer.sendall(sent)
            return read_to_end(peer)

    def run(self, function, *arguments):
        """Run an async function in the server's loop."""
        return trio.from_thread.run(function, *arguments, trio_token=self.server.token)

    def note_growth(self, *samples: Sample) -> None:
        """Note how much was stored, as the store does each hour."""
        writer = self.registry.store._writer
        for sample in samples:
            self.run(writer.write, partial(note_growth, sample=sample))

    def create_repository(self, name: str, visibility: str = "private") -> None:
        storage, _, own = name.partition("/")
        answer = self.client.post(
            "/api/v1/repositories",
            json={"storage": storage, "name": own, "visibility": visibility},
        )
        assert answer.status_code == 201, answer.text


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def codes(answer: httpx.Response) -> list[str]:
    """The codes of an answer in the specification's form of errors."""
    assert answer.headers["Content-Type"] == "application/json"
    return [error["code"] for error in answer.json()["errors"]]


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        number: int = bound.getsockname()[1]
        return number


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait for what no event tells of, on a busy machine too."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def read_to_end(peer: socket.socket) -> bytes:
    received = bytearray()
    while True:
        try:
            data = peer.recv(1 << 16)
        except ConnectionResetError:
            return bytes(received)
        if not data:
            return bytes(received)
        received += data


def head(received: bytes) -> bytes:
    """The status of the (last) answer."""
    return received.rpartition(b"HTTP/1.1 ")[2][:3]


class Errors(logging.Handler):
    """Whatever the server found worth an error; a test that provokes one says so."""

    def __init__(self, thread: threading.Thread) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []
        self._thread = thread
        self._provoked: tuple[str, ...] = ()

    def expect(self, *words: str) -> None:
        """Lines with any of these are the test's own doing, whenever they come."""
        self._provoked += words

    def wait_for(self, word: str, times: int = 1) -> None:
        """Wait for that many lines: the client may be ahead of the log."""
        wait_until(lambda: sum(word in line for line in self.lines) >= times)

    @property
    def unprovoked(self) -> list[str]:
        """What nobody expected."""
        return [line for line in self.lines if not any(word in line for word in self._provoked)]

    def emit(self, record: logging.LogRecord) -> None:
        if threading.current_thread() is self._thread:  # other servers have their own
            self.lines.append(self.format(record))


class _Thread:
    """The server's loop in a thread of its own."""

    def __init__(self, data: Path, settings: Settings) -> None:
        self.data = data
        self.settings = settings
        self.is_up = threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            self.error = error
        finally:
            self.is_up.set()

    async def _serve(self) -> None:
        self.stop = trio.Event()
        async with open_store(self.data, store_settings(self.settings)) as store:
            environment = {"ORLOP_ADMIN_PASSWORD": PASSWORD}
            await prepare(store, self.data, environment, is_terminal=False)
            with open_sockets(self.settings.http.listen, self.data) as sockets:
                self.url = public_url(_unnamed(self.settings), sockets.port)
                named = public_url(self.settings, sockets.port)
                self.registry = build_registry(store, self.settings, named)
                async with serving(self.registry, sockets, self.stop):
                    self.token = trio.lowlevel.current_trio_token()
                    self.is_up.set()
                    await self.stop.wait()

    def end(self) -> None:
        if hasattr(self, "token"):
            with contextlib.suppress(trio.RunFinishedError):
                self.token.run_sync_soon(self.stop.set)
        self.thread.join()
        if self.error is not None:
            raise self.error


def _unnamed(settings: Settings) -> Settings:
    """Settings that say nothing of how others reach us: the tests do it directly."""
    http = msgspec.structs.replace(settings.http, public_url="")
    return msgspec.structs.replace(settings, http=http)


@contextmanager
def running(
    data: Path, settings: Settings | None = None, trust: ssl.SSLContext | None = None
) -> Iterator[Live]:
    """Serve for a block. Whatever goes wrong inside leaves the block.

    `trust` is what clients need when `settings` have a certificate.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    http = Http(listen="127.0.0.1:0", shutdown_seconds=2)
    # Wrong passwords are what many tests try; `test_wire_limits` is about their limit.
    free = Limits(failed_logins=0)
    settings = settings or Settings(http=http, limits=free, storage=Storage(data=str(data)))
    server = _Thread(data, settings)
    errors = Errors(server.thread)
    logging.getLogger().addHandler(errors)
    server.thread.start()
    server.is_up.wait()
    try:
        if server.error is None:
            yield from _with_clients(server, errors, trust)
    finally:
        server.end()
        logging.getLogger().removeHandler(errors)
    assert errors.unprovoked == [], "\n".join(errors.unprovoked)


def _with_clients(server: _Thread, errors: Errors, trust: ssl.SSLContext | None) -> Iterator[Live]:
    common = {"base_url": server.url, "timeout": 20, "trust_env": False, "verify": trust or True}
    with httpx.Client(auth=ADMIN, **common) as client, httpx.Client(**common) as stranger:
        yield Live(server, client, stranger, errors, trust)
