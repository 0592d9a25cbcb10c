"""Scenarios that write: one large blob in three ways, an image of small ones, and mounts."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import content
from bench.cases import MIB, REPORTED, Bench, Case, size_name
from bench.client import file_digest
from bench.registry import digest_of, patch_file, put_bytes, put_file, put_manifest, stream_file
from bench.sample import Latency, Load, MeasurementFailed
from bench.servers import Server
from bench.wanted import Wanted
from bench.wire import Connection, expect

CLIENTS = 8
BLOBS = 200
_STEP = 16 * MIB
_Push = Callable[[Connection, str, Path, str], float]
_WAYS: dict[str, _Push] = {
    "one PUT": put_file,
    "PATCHes of 16 MiB": partial(patch_file, step=_STEP),
    "one chunked PATCH": stream_file,
}


@dataclass
class _Layer:
    """New content in each round: what is stored already would cost nothing."""

    path: Path
    size: int
    digest: str = ""

    def renew(self) -> None:
        content.write_random(self.path, self.size, content.GZIP_HEAD)
        self.digest = file_digest(self.path)
        content.forget_pages()


def uploads(bench: Bench) -> Iterator[Case]:
    """A compressed layer by one client; first byte: from the last byte sent to the answer."""
    layer = _Layer(bench.folder / "layer.gz", (64 if bench.quick else 256) * MIB)
    for way, push in _WAYS.items():

        def run(server: Server, push: _Push = push) -> Load:
            started = time.perf_counter()
            with Connection(server) as connection:
                answered = push(connection, server.image, layer.path, layer.digest)
            seconds = time.perf_counter() - started
            return Load(seconds, 1, layer.size, Latency.of([answered]))

        one_core = len(bench.cores.server) == 1
        wanted = Wanted(times=2, of_durable=0.8) if one_core else Wanted(of_machine=0.6)
        yield Case(
            f"push {size_name(layer.size)}, {way}",
            "MB/s",
            run,
            wanted if push is put_file else REPORTED,
            layer.renew,
            rounds=1 if bench.quick else 5,
        )
    layer.path.unlink(missing_ok=True)


@dataclass
class _Blobs:
    """Small blobs, new in each round."""

    contents: list[bytes] = field(default_factory=list)

    def renew(self) -> None:
        self.contents = [os.urandom(4096) for _ in range(BLOBS)]
        content.forget_pages()


def images(bench: Bench) -> Iterator[Case]:
    """An image of 200 blobs of 4 KiB by 8 clients, each POST and PUT, then its manifest."""
    blobs = _Blobs()

    def push(server: Server) -> Load:
        started = time.perf_counter()

        def put(connection: Connection, blob: bytes) -> None:
            put_bytes(connection, server.image, blob, digest_of(blob))

        latencies = in_threads(server, put, blobs.contents)
        with Connection(server) as connection:
            put_manifest(connection, server.image, "many", blobs.contents)
        seconds = time.perf_counter() - started
        return Load(seconds, BLOBS, 4096 * BLOBS, Latency.of(latencies))

    name = f"push of {BLOBS} small blobs, {CLIENTS} clients"
    yield Case(name, "blobs/s", push, Wanted(times=3), blobs.renew)


def mounts(bench: Bench) -> Iterator[Case]:
    """200 blobs of one image mounted into a new one by 8 clients."""
    blobs = _Blobs()
    blobs.renew()
    digests = [digest_of(blob) for blob in blobs.contents]

    def put_all(server: Server) -> None:
        with Connection(server) as connection:
            for blob, digest in zip(blobs.contents, digests, strict=True):
                put_bytes(connection, server.image, blob, digest)

    bench.set_up(put_all)
    numbers = itertools.count()

    def run(server: Server) -> Load:
        target = f"{server.image}-mount{next(numbers)}"

        def mount(connection: Connection, digest: str) -> None:
            query = f"mount={digest}&from={server.image}"
            expect(connection.request("POST", f"/v2/{target}/blobs/uploads/?{query}"), 201)

        started = time.perf_counter()
        latencies = in_threads(server, mount, digests)
        seconds = time.perf_counter() - started
        return Load(seconds, BLOBS, 0, Latency.of(latencies))

    yield Case(f"mount of {BLOBS} blobs, {CLIENTS} clients", "mounts/s", run)


def in_threads(
    server: Server, act: Callable[[Connection, object], None], things: Sequence[object]
) -> list[float]:
    """Do it to everything by `CLIENTS` threads, each with its connection; seconds of each.

    Raises:
        MeasurementFailed: any of them failed.
    """
    latencies: list[float] = []
    failures: list[Exception] = []

    def work(part: Sequence[object]) -> None:
        try:
            with Connection(server) as connection:
                for thing in part:
                    started = time.perf_counter()
                    act(connection, thing)
                    latencies.append(time.perf_counter() - started)
        except (OSError, MeasurementFailed, ValueError, KeyError) as error:
            failures.append(error)

    threads = [
        threading.Thread(target=work, args=(things[first::CLIENTS],)) for first in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise MeasurementFailed(str(failures[0])) from failures[0]
    return latencies
