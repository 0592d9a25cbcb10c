"""Pulls through a proxy repository, side by side with pulls straight from its upstream."""

import json
import secrets
import selectors
import shutil
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench import content, servers
from bench.client import file_digest
from bench.registry import put_file, put_image
from bench.row import Row
from bench.sample import percentile
from bench.servers import Server
from bench.wire import Connection, head

MIB = 1 << 20
SIZE = 256 * MIB
ROUNDS = 5
CLIENTS = 64
_READ = 1 << 20  # bytes at once
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, slots=True)
class _Pull:
    """One GET: seconds to its first byte of body, to its last, and how many there were."""

    first: float
    last: float
    octets: int


def proxy(folder: Path) -> Iterator[Row]:
    """256 MiB from Debian's docker-registry: cold and warm, one client and 64 at once."""
    with (
        servers.docker_registry(folder / "upstream") as upstream,
        servers.orlop(folder / "proxy") as ours,
    ):
        repository = _make_proxy(ours, upstream)
        through = replace(ours, image=f"{repository}/{upstream.image}")
        yield from _alone(folder, upstream, through, ours)
        yield from _as_skopeo(folder, upstream, through)
        yield from _together(folder, upstream, through)


def _alone(folder: Path, upstream: Server, through: Server, ours: Server) -> Iterator[Row]:
    straight, cold, warm, hosted = [], [], [], []
    for _ in range(ROUNDS):
        path, digest = _new_blob(folder)
        with Connection(upstream) as connection:
            put_file(connection, upstream.image, path, digest)
        with Connection(ours) as connection:
            other = _new_blob(folder, "hosted.bin")
            put_file(connection, ours.image, *other)
        content.forget_pages()
        _pull(upstream, digest)  # into memory, as the proxy's own pull will find it
        straight.append(_pull(upstream, digest).last)
        cold.append(_pull(through, digest).last)
        # The first read of what is stored checks it, and one at once after the fetch follows that.
        for _ in range(2):
            _pull(through, digest)
            _pull(ours, other[1])
        warm.append(_pull(through, digest).last)
        hosted.append(_pull(ours, other[1]).last)
    for name, found in (("straight", straight), ("cold", cold), ("warm", warm)):
        yield Row(f"pull 256 MiB, {name}", _rates(found))
    # Of a load that looks at nothing: what is passed on has to be hashed, at half of this rate.
    yield Row("pull 256 MiB, cold to straight", _ratio(straight, cold), "≥ 0.8")
    yield Row("pull 256 MiB, warm to hosted", _ratio(hosted, warm), "1")


def _as_skopeo(folder: Path, upstream: Server, through: Server) -> Iterator[Row]:
    """As a client pulls that looks at what it gets: it hashes, and writes a file."""
    if shutil.which("skopeo") is None:
        yield Row("pull 256 MiB by skopeo", "not measured: it is not installed", "≥ 0.8")
        return
    straight, cold = [], []
    for number in range(ROUNDS):
        path, digest = _new_blob(folder)
        layer = {"mediaType": _LAYER, "digest": digest, "size": SIZE}
        with Connection(upstream) as connection:
            put_file(connection, upstream.image, path, digest)
            put_image(connection, upstream.image, f"t{number}", [layer])
        content.forget_pages()
        _pull(upstream, digest)
        straight.append(_copy(upstream, f"t{number}", folder))
        cold.append(_copy(through, f"t{number}", folder))
    yield Row("pull 256 MiB by skopeo, straight", _rates(straight))
    yield Row("pull 256 MiB by skopeo, cold", _rates(cold))
    yield Row("pull 256 MiB by skopeo, cold to straight", _ratio(straight, cold), "≥ 0.8")


def _copy(server: Server, tag: str, folder: Path) -> float:
    """Seconds that skopeo takes to copy an image into a folder."""
    target = folder / "copied"
    who = ["--src-creds", f"{server.user}:{server.password}"] if server.user else ["--src-no-creds"]
    source = f"docker://{server.host}:{server.port}/{server.image}:{tag}"
    command = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", *who]
    started = time.perf_counter()
    subprocess.run([*command, source, f"dir:{target}"], check=True, capture_output=True)  # noqa: S603 - our own command
    seconds = time.perf_counter() - started
    shutil.rmtree(target)
    return seconds


def _together(folder: Path, upstream: Server, through: Server) -> Iterator[Row]:
    path, digest = _new_blob(folder)
    with Connection(upstream) as connection:
        put_file(connection, upstream.image, path, digest)
    content.forget_pages()
    alone = min(_pull(upstream, digest).first for _ in range(2))
    before, peak = through.anonymous_bytes(), 0
    is_over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not is_over.wait(0.05):
            peak = max(peak, through.anonymous_bytes())

    fetched_before = _fetched(through)
    watcher = threading.Thread(target=watch)
    watcher.start()
    pulls = _pull_at_once(through, digest, CLIENTS)
    is_over.set()
    watcher.join()
    fetched = _fetched(through) - fetched_before
    first = [each.first for each in pulls]
    slowest = max(first) - alone
    yield Row(
        f"{CLIENTS} clients, 256 MiB: sent by the upstream", f"{fetched / SIZE:.3f} times", "≤ 1.02"
    )
    figure = f"{slowest * 1000:.0f} ms (median {statistics.median(first) * 1000:.0f} ms)"
    yield Row(f"{CLIENTS} clients: slowest first byte beyond the upstream's", figure, "≤ 50 ms")
    yield Row(f"{CLIENTS} clients: memory grew by", f"{max(0, peak - before) / MIB:.0f} MiB")
    spread = f"{percentile([each.last for each in pulls], 50):.1f} s"
    yield Row(f"{CLIENTS} clients: median time", spread)


def _fetched(through: Server) -> int:
    """Bytes that came from the upstream for the repository until now."""
    found = _call(through, "GET", f"/api/v1/repositories/{_repository(through)}")
    return int(found["health"]["bytes_fetched"])


def _make_proxy(ours: Server, upstream: Server) -> str:
    name = f"proxy-{secrets.token_hex(3)}"
    body = {"storage": "local", "name": name, "kind": "proxy", "upstream": {"url": upstream.url}}
    _call(ours, "POST", "/api/v1/repositories", body)
    return f"local/{name}"


def _repository(through: Server) -> str:
    return "/".join(through.image.split("/")[:2])


def _new_blob(folder: Path, name: str = "blob.bin") -> tuple[Path, str]:
    path = folder / name
    content.write_random(path, SIZE, content.GZIP_HEAD)
    return path, file_digest(path)


def _pull(server: Server, digest: str) -> _Pull:
    """GET a blob over a connection of its own, into memory that is used again."""
    buffer = memoryview(bytearray(_READ))
    started = time.perf_counter()
    with socket.create_connection((server.host, server.port), timeout=120) as peer:
        peer.sendall(head(server, "GET", f"/v2/{server.image}/blobs/{digest}"))
        received, first = bytearray(), 0.0
        while b"\r\n\r\n" not in received:
            received += peer.recv(4096)
        beginning, _, rest = bytes(received).partition(b"\r\n\r\n")
        if b" 200 " not in beginning.split(b"\r\n")[0]:
            raise SystemExit(f"{server.name}: {beginning[:200]!r}")
        octets = len(rest)
        if octets:
            first = time.perf_counter() - started
        while octets < SIZE:
            count = peer.recv_into(buffer)
            if not count:
                raise SystemExit(f"{server.name}: the answer ended after {octets} bytes")
            first = first or time.perf_counter() - started
            octets += count
    return _Pull(first, time.perf_counter() - started, octets)


def _pull_at_once(server: Server, digest: str, clients: int) -> list[_Pull]:
    """The same by several connections of one task, which would rather wait than be waited for."""
    buffer, found = memoryview(bytearray(_READ)), []
    with selectors.DefaultSelector() as selector:
        for _ in range(clients):
            peer = socket.create_connection((server.host, server.port), timeout=120)
            peer.sendall(head(server, "GET", f"/v2/{server.image}/blobs/{digest}"))
            peer.setblocking(False)
            selector.register(peer, selectors.EVENT_READ, _Coming(time.perf_counter()))
        while selector.get_map():
            for key, _ in selector.select(timeout=120):
                peer, coming = key.fileobj, key.data
                assert isinstance(peer, socket.socket)  # noqa: S101 - we registered it
                count = peer.recv_into(buffer)
                if not count:
                    raise SystemExit(f"{server.name}: an answer ended early")
                coming.take(bytes(buffer[:count]) if not coming.is_begun else b"", count)
                if coming.octets >= SIZE:
                    found.append(coming.done())
                    selector.unregister(peer)
                    peer.close()
    return found


class _Coming:
    """One answer on its way."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._head = b""
        self._first = 0.0
        self.octets = 0
        self.is_begun = False

    def take(self, data: bytes, count: int) -> None:
        if not self.is_begun:
            self._head += data
            beginning, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 200 " not in beginning.split(b"\r\n")[0]:
                raise SystemExit(f"answered {beginning[:200]!r}")
            self.is_begun, count = True, len(rest)
        if count and not self._first:
            self._first = time.perf_counter() - self._started
        self.octets += count

    def done(self) -> _Pull:
        return _Pull(self._first, time.perf_counter() - self._started, self.octets)


def _rates(seconds: list[float]) -> str:
    rates = [SIZE / each / 1e6 for each in seconds]
    return f"{statistics.median(rates):,.0f} MB/s ({', '.join(f'{rate:,.0f}' for rate in rates)})"


def _ratio(base: list[float], other: list[float]) -> str:
    return f"{statistics.median(base) / statistics.median(other):.2f}"


def _call(server: Server, method: str, path: str, body: object = None) -> dict:
    connection = server.connect()
    connection.request(method, path, None if body is None else json.dumps(body), server.headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status >= 300:
        raise SystemExit(f"{path} answered {answer.status}: {said!r:.200}")
    return json.loads(said)
