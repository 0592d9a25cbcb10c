"""Scenarios that read: manifests by tag, blobs, and lists of tags."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import content, wrk
from bench.cases import MIB, REPORTED, Bench, Case, clients_name, size_name
from bench.client import file_digest, pull_digest
from bench.pull import pull
from bench.registry import put_file, tag_image
from bench.sample import Load, MeasurementFailed
from bench.servers import Server
from bench.wanted import Wanted
from bench.wire import Connection

CONNECTIONS = (1, 16, 64)
_SIZES = (1 * MIB, 64 * MIB, 256 * MIB, 1024 * MIB)
_AT_16 = Wanted(rate=20_000, times=15, p99=0.005)


def manifests(bench: Bench) -> Iterator[Case]:
    """GET and HEAD of a manifest by tag, on kept connections."""
    bench.set_up(lambda server: tag_image(server, server.image, ["latest"]))
    for count in CONNECTIONS:

        def get(server: Server, count: int = count) -> Load:
            path = f"/v2/{server.image}/manifests/latest"
            return _hammer(bench, server, path, count)

        wanted = _AT_16 if count == 16 else REPORTED
        yield Case(f"manifest GET, {count} conn.", "requests/s", get, wanted)
    for count in CONNECTIONS:

        def ask(server: Server, count: int = count) -> Load:
            path = f"/v2/{server.image}/manifests/latest"
            return pull(server, path, clients=count, seconds=bench.seconds, method="HEAD")

        yield Case(f"manifest HEAD, {count} conn.", "requests/s", ask)


def blobs(bench: Bench) -> Iterator[Case]:
    """GET of compressed layers of several sizes; a quick run leaves out the gibibyte."""
    for size in _SIZES[:-1] if bench.quick else _SIZES:
        path = bench.folder / "layer.gz"
        content.write_random(path, size, content.GZIP_HEAD)
        digest = file_digest(path)
        bench.set_up(partial(_push_and_check, path=path, digest=digest))
        path.unlink()
        for clients in CONNECTIONS:
            name = f"blob GET {size_name(size)}, {clients_name(clients)}"
            run = partial(_pull_blob, digest=digest, clients=clients, seconds=bench.seconds)
            yield Case(name, "MB/s", run, _blob_wanted(size, clients))


def _push_and_check(server: Server, *, path: Path, digest: str) -> None:
    with Connection(server) as connection:
        put_file(connection, server.image, path, digest)
    if pull_digest(server, digest)[0] != digest:
        raise MeasurementFailed("answers another blob")


def _pull_blob(server: Server, *, digest: str, clients: int, seconds: float) -> Load:
    path = f"/v2/{server.image}/blobs/{digest}"
    return pull(server, path, clients=clients, seconds=seconds)


def _blob_wanted(size: int, clients: int) -> Wanted:
    if size == 256 * MIB and clients == 1:
        return Wanted(times=2, cpu=0.25)
    if size == 256 * MIB and clients == 64:
        return Wanted(fairness=0.5, growth=64 * MIB)
    return REPORTED


def tags(bench: Bench) -> Iterator[Case]:
    """The list of an image's 100 tags."""
    names = [f"v{number}" for number in range(100)]
    bench.set_up(lambda server: tag_image(server, f"{server.image}-tags", names))

    def run(server: Server) -> Load:
        path = f"/v2/{server.image}-tags/tags/list"
        return _hammer(bench, server, path, 16)

    yield Case("tag list of 100, 16 conn.", "requests/s", run)


def _hammer(bench: Bench, server: Server, path: str, connections: int) -> Load:
    return wrk.run(
        server, path, connections=connections, seconds=bench.seconds, folder=bench.folder
    )
