"""What is measured of Orlop's store. Each scenario returns rows: a name and its figures."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import content, servers
from bench.client import file_digest, pull_digest, push_blob
from bench.collection import collection
from bench.credentials import credentials
from bench.pages import pages
from bench.proxy import proxy
from bench.row import Row
from bench.scale import fill
from bench.search import search
from bench.workers import workers

GIB = 1 << 30


def push(folder: Path) -> Iterator[Row]:
    """A 1 GiB gzip layer by curl, 5 alternating runs: rates of both registries and their ratio."""
    layer = folder / "layer.gz"
    rates: dict[str, list[float]] = {"orlop": [], "docker-registry": []}
    with servers.orlop(folder / "orlop") as ours, servers.docker_registry(folder / "peer") as peer:
        for _ in range(5):
            content.write_random(layer, GIB, content.GZIP_HEAD)
            digest = file_digest(layer)
            for server in (ours, peer):
                rates[server.name].append(GIB / push_blob(server, layer, digest) / 1e6)
    layer.unlink()
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, found in rates.items():
        figures = ", ".join(f"{rate:.0f}" for rate in found)
        yield Row(f"push 1 GiB gzip, {name}", f"{medians[name]:.0f} MB/s ({figures})")
    ratio = medians["orlop"] / medians["docker-registry"]
    yield Row("push 1 GiB gzip, ratio of medians", f"{ratio:.2f}", "≥ 1.3")


def memory(folder: Path) -> Iterator[Row]:
    """A 2 GiB random blob pushed and pulled: peak anonymous memory of the server."""
    blob = folder / "random.bin"
    content.write_random(blob, 2 * GIB)
    digest = file_digest(blob)
    with servers.orlop(folder / "memory") as server:
        at_rest = server.anonymous_bytes()
        peaks: list[int] = []
        with _sampling(server, peaks):
            push_blob(server, blob, digest)
            found, _ = pull_digest(server, digest)
        extents = _stats(server)["extents"]
    blob.unlink()
    yield Row(
        "2 GiB pushed and pulled, digest", "equal" if found == digest else f"{found}!", "equal"
    )
    peak = max(peaks) / (1 << 20)
    figure = f"{peak:.0f} MiB (at rest {at_rest / (1 << 20):.0f} MiB, {len(peaks)} samples)"
    yield Row("2 GiB pushed and pulled, peak anonymous RSS", figure, "< 150 MiB")
    yield Row("2 GiB random blob, extents", str(extents), "1")


class _sampling:  # noqa: N801 - used as a with statement only
    """Samples a process's anonymous memory from a process of its own, every 20 ms."""

    _CODE = (
        "import sys,time,re\n"
        "while True:\n"
        "    text=open(f'/proc/{sys.argv[1]}/smaps_rollup').read()\n"
        "    print(re.search(r'Anonymous:\\s+(\\d+)',text)[1],flush=True)\n"
        "    time.sleep(0.02)\n"
    )

    def __init__(self, server: servers.Server, samples: list[int]) -> None:
        self._pid = server.pid
        self._samples = samples

    def __enter__(self) -> None:
        self._output = Path(f"/proc/{self._pid}")  # checked: it exists
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-c", self._CODE, str(self._pid)], stdout=subprocess.PIPE
        )

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        output, _ = self._process.communicate()
        self._samples += [int(line) << 10 for line in output.split() if line.isdigit()]


def dedup(folder: Path) -> Iterator[Row]:
    """Two versions of a 300 MB plain-tar layer with 2 % of the files changed."""
    first, second = folder / "v1.tar", folder / "v2.tar"
    content.write_tar(first, 300_000_000, 0.0)
    content.write_tar(second, 300_000_000, 0.02)
    with servers.orlop(folder / "dedup") as server:
        push_blob(server, first, file_digest(first))
        before = _stats(server)
        push_blob(server, second, file_digest(second))
        after = _stats(server)
    added = after["stored"] - before["stored"]
    share = added / second.stat().st_size
    yield Row(
        "300 MB tar, 2 % edited: logical added", f"{after['logical'] - before['logical']:,} B"
    )
    yield Row("300 MB tar, 2 % edited: stored added", f"{added:,} B ({share:.1%})", "< 15 %")
    first.unlink()
    second.unlink()


def scale(folder: Path) -> Iterator[Row]:
    """A store of 100,000 manifests: how long a start takes, and what a page of tags costs."""
    data = folder / "scale"
    with servers.orlop(data):
        pass  # the first start makes the user and the repository
    fill(data, manifests=100_000, large="local/images/many", small="local/images/few")
    starts = []
    for _ in range(5):
        started = time.perf_counter()
        with servers.orlop(data) as server:
            starts.append(time.perf_counter() - started)
            rates = {name: _page_rate(server, name) for name in ("many", "few")}
    figures = ", ".join(f"{seconds:.2f}" for seconds in starts)
    yield Row(
        "start with 100,000 manifests", f"{statistics.median(starts):.2f} s ({figures})", "< 1 s"
    )
    ratio = rates["many"] / rates["few"]
    figure = f"{ratio:.2f} ({rates['many']:.0f}/s against {rates['few']:.0f}/s)"
    yield Row("tags/list?n=100, 100,000 tags against 100", figure, "reported")


def _page_rate(server: servers.Server, image: str) -> float:
    connection = server.connect()
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < 2.0:
        path = f"/v2/local/images/{image}/tags/list?n=100"
        connection.request("GET", path, headers=server.headers)
        answer = connection.getresponse()
        if answer.status != 200 or len(json.loads(answer.read())["tags"]) != 100:
            raise SystemExit(f"{path} answered {answer.status}")
        count += 1
    connection.close()
    return count / elapsed


def _stats(server: servers.Server) -> dict[str, int]:
    command = [sys.executable, "-m", "frontend.main", "stats", "--json", "--data", str(server.data)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own command
    found: dict[str, int] = json.loads(answer.stdout)
    return found


SCENARIOS = {
    "push": push,
    "memory": memory,
    "dedup": dedup,
    "scale": scale,
    "workers": workers,
    "collection": collection,
    "search": search,
    "credentials": credentials,
    "proxy": proxy,
    "pages": pages,
}
