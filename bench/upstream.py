"""Our client of other registries beside curl and httpcore: one blob from docker-registry, in turns.

    python -m bench.upstream [--rounds 5] [--mib 256]

Each reads the body and forgets it. What counts is the ratio, of one run.
"""

import argparse
import hashlib
import http.client
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpcore
import trio

from bench.servers import Server, docker_registry
from frontend.domain.upstream import Upstream
from frontend.upstream.answers import Wanted
from frontend.upstream.client import UpstreamClient
from frontend.upstream.transfers import fetching
from frontend.upstream.transport import Way
from frontend.upstream.trust import Trust

_TRUST = Trust()  # once a process


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=256)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, docker_registry(Path(folder) / "peer") as server:
        size = asked.mib << 20
        digest = _push(server, os.urandom(size))
        ways: dict[str, Callable[[], None]] = {
            "curl": lambda: _curl(server, digest),
            "orlop": lambda: trio.run(_orlop, server, digest, size),
            "httpcore": lambda: trio.run(_httpcore, server, digest, size),
        }
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(asked.rounds):
            for name, way in ways.items():
                figures[name].append(_timed(way))
    print(f"{'':10}{'GB/s':>8}{'CPU s/GB':>10}{'of curl':>9}")
    reference = statistics.median(seconds for seconds, _ in figures["curl"])
    for name, rounds in figures.items():
        seconds = statistics.median(each for each, _ in rounds)
        cpu = statistics.median(each for _, each in rounds) / size * 1e9
        print(f"{name:10}{size / seconds / 1e9:8.2f}{cpu:10.2f}{reference / seconds:9.2f}")


def _push(server: Server, content: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    connection = http.client.HTTPConnection(server.host, server.port)
    connection.request("POST", f"/v2/{server.image}/blobs/uploads/")
    answer = connection.getresponse()
    answer.read()
    location = answer.headers["Location"]
    octets = {"Content-Type": "application/octet-stream"}
    connection.request("PUT", f"{location}&digest={digest}", content, octets)
    if connection.getresponse().status != 201:
        raise SystemExit("bench: the push failed")
    return digest


def _timed(way: Callable[[], None]) -> tuple[float, float]:
    """Seconds, and seconds of CPU of this process and of what it started."""

    def cpu() -> float:
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(use.ru_utime + use.ru_stime for use in map(resource.getrusage, kinds))

    used, began = cpu(), time.perf_counter()
    way()
    return time.perf_counter() - began, cpu() - used


def _curl(server: Server, digest: str) -> None:
    url = f"{server.url}/v2/{server.image}/blobs/{digest}"
    command = ["curl", "--silent", "--fail", "--output", os.devnull, url]
    subprocess.run(command, check=True)  # noqa: S603 - our own command


async def _orlop(server: Server, digest: str, size: int) -> None:
    client = UpstreamClient(Upstream.parse(server.url), Way(_TRUST))
    view = memoryview(bytearray(1 << 20))
    async with fetching(client, Wanted(server.image, "blobs", digest), size) as transfer:
        while await transfer.receive_into(view):
            pass
    await client.aclose()


class _Stream(httpcore.AsyncNetworkStream):
    """What the library needs to read as widely as we do."""

    def __init__(self, socket: trio.socket.SocketType) -> None:
        self._socket = socket
        self._view = memoryview(bytearray(256 << 10))

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        return bytes(self._view[: await self._socket.recv_into(self._view)])

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._socket.send(buffer)

    async def aclose(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> object:
        return self._socket.is_readable() if info == "is_readable" else None


class _Backend(httpcore.AsyncNetworkBackend):
    async def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> _Stream:
        connected = trio.socket.socket()
        await connected.connect((host, port))
        return _Stream(connected)


async def _httpcore(server: Server, digest: str, size: int) -> None:
    url = f"{server.url}/v2/{server.image}/blobs/{digest}"
    received = 0
    async with (
        httpcore.AsyncConnectionPool(network_backend=_Backend()) as pool,
        pool.stream("GET", url) as answer,
    ):
        async for block in answer.aiter_stream():
            received += len(block)
    if received != size:
        raise SystemExit("bench: too few bytes")


if __name__ == "__main__":
    main()
