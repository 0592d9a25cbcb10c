"""What pulls notice of a collection: 16 clients, with and without 10,000 manifests being freed.

Each round deletes as many tagged manifests, which share their layers, and measures twice in turn:
pulls alone, and pulls while everything deleted is collected. Grace and lease are zero.
"""

import http.client
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from bench import servers, wrk
from bench.cores import Cores, running_on
from bench.row import Row
from bench.sample import MeasurementFailed, percentile
from bench.scale import MEDIA_TYPE
from bench.servers import Server
from cas.digest import Digest
from cas.local import StoreSettings, open_store
from cas.verbs import Adopt, Collect, Owner, Store
from index.changes import (
    CreateStorage,
    DropPackage,
    EdgeKind,
    ImageName,
    Link,
    PutManifest,
    PutObject,
    PutRepository,
    SetTag,
)
from index.records import Manifest, Repository
from index.writer import Writer

MANIFESTS = 10_000
LAYERS, LAYER_BYTES = 8, 1 << 20
_ROUNDS = 5
_SECONDS = 20.0
_CONNECTIONS = 16
_REPOSITORY = "local/images"
_KEPT = "kept"  # the image that is pulled
_IN_A_BATCH = 400  # packages of one call
_AT_ONCE = 256
_KEEP_NOTHING = "[gc]\ngrace_seconds = 0\nlease_seconds = 0\ninterval_seconds = 0\n"


@dataclass
class _Round:
    """What one image's deletion and collection came to."""

    report: dict[str, float] = field(default_factory=dict)
    error: str = ""


def collection(folder: Path) -> Iterator[Row]:
    """The p99 of pulls with a collection against without, medians of alternating runs."""
    data, cores = folder / "collection", Cores.default()
    configuration = folder / "collection.toml"
    configuration.write_text(_KEEP_NOTHING)
    with servers.orlop(data):
        pass  # the first start makes the user and the repository
    layers = trio.run(_fill, data)
    quiet, busy, rounds = [], [], []
    arguments = ("--config", str(configuration))
    with servers.orlop(data, arguments=arguments, cores=cores) as server:
        paths = [f"/v2/{_REPOSITORY}/{_KEPT}/manifests/latest"]
        paths += [f"/v2/{_REPOSITORY}/{_KEPT}/blobs/{digest}" for digest in layers]
        for number in range(_ROUNDS):
            _delete(server, f"round-{number}")
            quiet.append(_p99(server, paths, cores, folder))
            done = _Round()
            thread = threading.Thread(target=_collect, args=(server, done))
            thread.start()
            busy.append(_p99(server, paths, cores, folder))
            thread.join()
            if done.error or done.report.get("manifests") != MANIFESTS:
                raise MeasurementFailed(f"collection: {done.error or done.report}")
            rounds.append(done.report)
    yield _row("without a collection", quiet)
    yield _row("with one", busy)
    ratio = statistics.median(busy) / statistics.median(quiet)
    yield Row("p99 of pulls, with a collection to without", f"{ratio:.2f}", "≤ 1.5")
    yield from _iter_reported(rounds)
    yield trio.run(_time_commits)


def _iter_reported(rounds: Sequence[dict[str, float]]) -> Iterator[Row]:
    took = ", ".join(f"{each['duration_seconds']:.1f}" for each in rounds)
    yield Row(f"collection of {MANIFESTS:,} manifests", f"{took} s")
    rows = max(each["most_rows"] for each in rounds)
    yield Row("rows of its longest transaction", f"{rows:.0f}", "≤ 512")


def _row(name: str, found: Sequence[float]) -> Row:
    figures = ", ".join(f"{each * 1e3:.1f}" for each in found)
    return Row(f"pulls by 16, p99 {name}", f"{statistics.median(found) * 1e3:.1f} ms ({figures})")


def _p99(server: Server, paths: Sequence[str], cores: Cores, folder: Path) -> float:
    with running_on(cores.load):
        load = wrk.run(server, *paths, connections=_CONNECTIONS, seconds=_SECONDS, folder=folder)
    return load.latency.p99


def _call(server: Server, method: str, path: str, body: object = None) -> dict[str, float]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=600)
    content = None if body is None else json.dumps(body).encode()
    connection.request(method, path, content, server.headers)
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    if answer.status != 200:
        raise MeasurementFailed(f"{method} {path} answered {answer.status}: {found}")
    return dict(found)


def _collect(server: Server, done: _Round) -> None:
    try:
        done.report = _call(server, "POST", "/api/v1/gc")
    except (OSError, http.client.HTTPException, MeasurementFailed) as error:
        done.error = repr(error)


def _delete(server: Server, image: str) -> None:
    """Delete all packages of an image."""
    for start in range(0, MANIFESTS, _IN_A_BATCH):
        stop = min(MANIFESTS, start + _IN_A_BATCH)
        items = [{"image": image, "tag": f"v{number:06}"} for number in range(start, stop)]
        path = f"/api/v1/repositories/{_REPOSITORY}/packages"
        if len(_call(server, "DELETE", path, {"items": items})["deleted"]) != stop - start:  # type: ignore[arg-type]
            raise MeasurementFailed(f"not all packages of {image} were deleted")


async def _time_commits() -> Row:
    """How long a commit takes from begin to its end where a sync costs nothing: in memory."""
    seconds: list[float] = []
    commit = Writer._commit

    def timed(self: Writer, group: list[Any]) -> None:
        began = time.perf_counter()
        commit(self, group)
        seconds.append(time.perf_counter() - began)

    with tempfile.TemporaryDirectory(prefix="orlop-bench-", dir="/dev/shm") as folder:
        data = Path(folder) / "data"
        layers = await _fill(data, manifests=2000, rounds=1, prepare=True)
        Writer._commit = timed  # type: ignore[method-assign]
        try:
            async with open_store(data, StoreSettings(0, 0, collection_seconds=0)) as store:
                for number in range(2000):
                    image = ImageName(_REPOSITORY, "round-0")
                    await store.commit([DropPackage(image, f"v{number:06}")])
                async for _ in store.maintain(Collect()):
                    pass
        finally:
            Writer._commit = commit  # type: ignore[method-assign]
    worst = percentile(seconds, 99.9) * 1e3
    figure = f"{worst:.1f} ms ({len(seconds):,} commits, {len(layers)} layers each)"
    return Row("begin to commit without sync, 99.9th percentile", figure, "≤ 50 ms, reported")


# --- what is stored beforehand ---


async def _fill(
    data: Path, manifests: int = MANIFESTS, rounds: int = _ROUNDS, *, prepare: bool = False
) -> list[Digest]:
    """One image that stays and one for each round, all of the same layers; returns these."""
    layers = []
    async with open_store(data, StoreSettings(collection_seconds=0)) as store:
        if prepare:
            await store.commit([CreateStorage("local"), PutRepository(_REPOSITORY, Repository())])
        for number in range(LAYERS):
            content = number.to_bytes(8) * (LAYER_BYTES // 8)
            layers.append(await _push(store, content + bytes((number,))))
        await _put(store, _KEPT, 0, layers, "latest")
        limiter = trio.CapacityLimiter(_AT_ONCE)

        async def put(image: str, number: int) -> None:
            async with limiter:
                await _put(store, image, number, layers, f"v{number:06}")

        for each in range(rounds):
            async with trio.open_nursery() as nursery:
                for number in range(manifests):
                    nursery.start_soon(put, f"round-{each}", number)
    return layers


async def _push(store: Store, content: bytes) -> Digest:
    owner = Owner(ImageName(_REPOSITORY, _KEPT), "bench")
    upload, _ = await store.stage(owner)
    await upload.append(0, content)
    digest = Digest.of(content)
    await store.commit([Adopt(upload.id, digest, owner), Link(owner.image, digest.key, 3600)])
    return digest


async def _put(store: Store, path: str, number: int, layers: Sequence[Digest], tag: str) -> None:
    image = ImageName(_REPOSITORY, path)
    config = b'{"image":"%s","number":%d}' % (path.encode(), number)
    own = Digest.of(config)
    content = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE,
            "config": {"mediaType": "application/json", "digest": str(own), "size": len(config)},
            "layers": [
                {"mediaType": "a/b", "digest": str(each), "size": LAYER_BYTES + 1}
                for each in layers
            ],
        }
    ).encode()
    digest = Digest.of(content)
    record = Manifest(media_type=MEDIA_TYPE, size=len(content))
    edges = ((own.key, EdgeKind.CONFIG), *((each.key, EdgeKind.LAYER) for each in layers))
    await store.commit(
        [
            PutObject(own.key, config),
            Link(image, own.key),
            *(Link(image, each.key) for each in layers),
            PutObject(digest.key, content),
            Link(image, digest.key),
            PutManifest(image, digest.key, record, edges),
            SetTag(image, tag, digest.key),
        ]
    )
