"""Searches over a million tags: how long they take, and what pulls beside them notice.

An administrator, a user who may pull every second repository, and one who may pull every hundredth
ask the same; then somebody searches without a pause while 16 clients GET a manifest.
"""

import dataclasses
import json
import secrets
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from bench import servers, tags, wrk
from bench.cores import Cores, running_on
from bench.registry import tag_image
from bench.row import Row
from bench.sample import MeasurementFailed, percentile
from bench.servers import Server
from bench.wire import Connection, expect

_TIMES = 40  # searches of a kind
_ROUNDS = 3
_SECONDS = 5.0
_CONNECTIONS = 16
_WANTED = "p95 < 50 ms"
_USERS = {"half": 2, "few": 100}  # name → he may pull every so many-th repository

# Each of a kind is another: nothing is answered twice in a row.
_WORDS = {
    "hits many: alpine, 1., rc1": ("alpine", "1.", "rc1", "slim"),
    "hits few: 19.99.9, build-0999": ("19.99.9", "build-0999", "7.77.77-d", "4.44.4"),
    "paths: gateway, payment-web": ("gateway", "payment-web/service", "cache-", "image:search"),
    "two words: gateway alpine": ("gateway alpine", "session 9.9", "team-05 debug", "cron rc1"),
    "misses: kubernetes": ("kubernetes", "no-such-tag", "zzz", "image:unknown"),
}
_MIXED = tuple(query for some in _WORDS.values() for query in some)


def search(folder: Path) -> Iterator[Row]:
    """Medians and tails of searches, alone and beside pulls."""
    data, cores = folder / "search", Cores.default()
    with servers.orlop(data):
        pass  # the first start makes the user and the repository
    began = time.perf_counter()
    listed = tags.fill(data, tags.Size())
    yield Row("an index of 1,100,000 tags, built in", f"{time.perf_counter() - began:.0f} s")
    with servers.orlop(data, cores=cores) as server:
        tag_image(server, server.image, ["latest"])
        people = [server, *(_user(server, name, listed[::step]) for name, step in _USERS.items())]
        digests = _digests(server)
        for person in people:
            for name, queries in {**_WORDS, **digests}.items():
                yield _measure(person, name, queries)
        yield from _beside_pulls(server, cores, folder)


def _measure(person: Server, name: str, queries: Sequence[str]) -> Row:
    with Connection(person) as connection:
        for query in queries:
            _search(connection, query)  # pages of the index are in memory from then on
        seconds = [_search(connection, queries[n % len(queries)]) for n in range(_TIMES)]
    return Row(f"search by {person.user}, {name}", _figure(seconds), _WANTED)


def _figure(seconds: Sequence[float]) -> str:
    median, tail = statistics.median(seconds) * 1e3, percentile(seconds, 95) * 1e3
    return f"median {median:.1f} ms, p95 {tail:.1f} ms"


def _search(connection: Connection, query: str) -> float:
    """How long a search takes, its answer included."""
    began = time.perf_counter()
    expect(connection.request("GET", f"/api/v1/search?per_page=50&q={quote(query)}"), 200)
    return time.perf_counter() - began


def _digests(server: Server) -> dict[str, Sequence[str]]:
    """Digests of some tags, as somebody would type them."""
    with Connection(server) as connection:
        path = "/api/v1/search?per_page=8&q=tag:alpine"
        found = json.loads(expect(connection.request("GET", path), 200).body)["items"]
    known = [item["digest"].partition(":")[2] for item in found]
    return {
        "digest: 8 digits": [f"digest:{known[at][:8]}" for at in range(4)],
        "digest: all 64, and a layer of 100,000 images": [
            *(f"sha256:{known[at]}" for at in range(3)),
            f"sha256:{tags.LAYER[1:].hex()}",
        ],
        "a word that may be a digest": [known[at][:7] for at in range(4)],
    }


def _user(server: Server, name: str, listed: Sequence[str]) -> Server:
    """Somebody who may pull these."""
    password = secrets.token_urlsafe(12)
    with Connection(server) as connection:
        _send(connection, "POST", "/api/v1/users", {"username": name, "password": password})
        for repository in listed:
            path = f"/api/v1/repositories/{repository}/grants/{name}"
            _send(connection, "PUT", path, {"role": "reader"})
    return dataclasses.replace(server, user=name, password=password)


def _send(connection: Connection, method: str, path: str, body: object) -> None:
    headers = {"Content-Type": "application/json"}
    answer = connection.request(method, path, headers, json.dumps(body).encode())
    if answer.status not in (200, 201, 204):
        raise MeasurementFailed(f"{method} {path} answered {answer.status}: {answer.body!r}")


# --- beside pulls ---


def _beside_pulls(server: Server, cores: Cores, folder: Path) -> Iterator[Row]:
    """The p99 and the rate of GETs with and without somebody who searches without a pause."""
    path = f"/v2/{server.image}/manifests/latest"
    quiet, busy, rates, seconds = [], [], [], []
    for _ in range(_ROUNDS):
        loads = []
        for is_searched in (False, True):
            stop = threading.Event()
            thread = threading.Thread(target=_search_until, args=(server, stop, seconds))
            if is_searched:
                thread.start()
            try:
                with running_on(cores.load):
                    loads.append(
                        wrk.run(server, path, connections=_CONNECTIONS, seconds=_SECONDS,
                                folder=folder)
                    )  # fmt: skip
            finally:
                stop.set()
                if is_searched:
                    thread.join()
        quiet.append(loads[0].latency.p99)
        busy.append(loads[1].latency.p99)
        rates.append(loads[1].operations / loads[0].operations)
    for name, found in (("alone", quiet), ("beside searches", busy)):
        figures = ", ".join(f"{each * 1e3:.1f}" for each in found)
        median = statistics.median(found) * 1e3
        yield Row(f"manifest GET by 16, p99 {name}", f"{median:.1f} ms ({figures})")
    ratio = statistics.median(busy) / statistics.median(quiet)
    yield Row("p99 of GETs, with searches to without", f"{ratio:.2f}", "reported")
    yield Row("rate of GETs, with searches to without", f"{statistics.median(rates):.2f}")
    yield Row("search by admin, all words in turn, beside 16 GETs", _figure(seconds), "reported")


def _search_until(server: Server, stop: threading.Event, seconds: list[float]) -> None:
    with Connection(server) as connection:
        number = 0
        while not stop.is_set():
            seconds.append(_search(connection, _MIXED[number % len(_MIXED)]))
            number += 1
