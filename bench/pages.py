"""Pages at 10,000 repositories and a million tags: how long they take, and bytes over the wire.

A visitor who has not signed in, and an administrator by the cookie of his session; each page by
itself, over one connection, as a browser asks for it.
"""

import dataclasses
import json
import os
import re
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bench import servers, tags
from bench.cores import Cores, running_on
from bench.credentials import sign_in
from bench.registry import digest_of, put_bytes
from bench.row import Row
from bench.sample import MeasurementFailed, percentile
from bench.wire import Answer, Connection, expect

# 799,840 + 100,000 + 100,000 tags, in 10,000 repositories.
SIZE: Final = tags.Size(repositories=9998, images=10, tags=8, below=50_000, is_open=True)
PROXIES: Final = 100
PLATFORMS: Final = 10
REFERRERS: Final = 50
LAYERS: Final = 10
_TIMES: Final = 40  # of each page
_SECONDS: Final = 6.0  # at most, of each page
_FAST, _FIRST, _MANIFEST = "< 100 ms", "< 30 KB, < 100 ms", "< 150 ms"
_BROWSER: Final = {"Accept": "text/html,*/*;q=0.8", "Accept-Encoding": "gzip, deflate, br"}
_MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
_INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
_CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
_IMAGE: Final = "local/images/app"
_LARGE: Final = "/r/docker/monorepo/everything"
_BEFORE_SIGNING_IN: Final = {
    "first page, a visitor": ("/", _FIRST),
    "first page, the last of them": ("/?page=200", _FAST),
    "first page, with a text": ("/?q=team-77", _FAST),
    "repository, 10 images": ("/r/docker/team-0777", _FAST),
    "repository, 50,000 images below a path": ("/r/docker/catalog", _FAST),
    "folder, 50,000 images below it": ("/r/docker/catalog/team/", _FAST),
    "folder, 1,700 images below it": ("/r/docker/catalog/team/web/", _FAST),
    "images with a text, of 50,000": ("/r/docker/catalog?q=service-000", _FAST),
    "image of 100,000 tags, newest": (_LARGE, _FAST),
    "image of 100,000 tags, newest, in the middle": (f"{_LARGE}?page=1000", _FAST),
    "image of 100,000 tags, by version": (f"{_LARGE}?sort=version&order=desc", _FAST),
    "image of 100,000 tags, newest, with a text": (f"{_LARGE}?q=9.9", _FAST),
    "image of 100,000 tags, by name, with a text": (f"{_LARGE}?q=9.9&sort=name&order=asc", _FAST),
    "search": ("/search?q=gateway", "reported"),
}
_ADMINISTRATOR: Final = {
    "first page, administrator": ("/", _FIRST),
    f"manifest, {REFERRERS} referrers": (f"/r/{_IMAGE}:single", _MANIFEST),
    f"index, {PLATFORMS} platforms, {REFERRERS} referrers": (f"/r/{_IMAGE}:multi", _MANIFEST),
    "search, administrator": ("/search?q=gateway", "reported"),
    "search, a tag that few have": ("/search?q=tag:19.99.9", _FAST),
    "packages, 100,000": ("/admin/repositories/docker/monorepo/packages", _FAST),
    "packages, 100,000, by time": (
        "/admin/repositories/docker/monorepo/packages?sort=pushed_at&order=desc",
        _FAST,
    ),
    "administration of repositories": ("/admin/repositories", _FAST),
    f"proxies, {PROXIES}": ("/admin/proxies", _FAST),
    "storage": ("/admin/storage", _FAST),
}


def pages(folder: Path) -> Iterator[Row]:
    """Medians and tails of the time to a page, that of the first, and its bytes with their head."""
    data, cores = folder / "pages", Cores.default()
    with servers.orlop(data):
        pass  # the first start makes the user and the repository
    began = time.perf_counter()
    tags.fill(data, SIZE)
    built = time.perf_counter() - began
    yield Row("10,000 repositories, 1,000,000 tags, built in", f"{built:.0f} s")
    with servers.orlop(data, cores=cores) as server, running_on(cores.load):
        with Connection(server) as connection:
            _push_all(connection)
            _make_proxies(connection)
        visitor = dataclasses.replace(server, said=())
        cookie = sign_in(server, server.user, server.password)
        administrator = dataclasses.replace(server, said=(("Cookie", cookie),))
        for who, wanted in ((visitor, _BEFORE_SIGNING_IN), (administrator, _ADMINISTRATOR)):
            with Connection(who) as connection:
                for name, (path, budget) in wanted.items():
                    yield _measure(connection, name, path, budget)
        with Connection(visitor) as connection:
            yield _whole_first_page(connection)


def _measure(connection: Connection, name: str, path: str, budget: str) -> Row:
    answer, first = _ask(connection, path)
    seconds: list[float] = []
    while len(seconds) < _TIMES and (sum(seconds) < _SECONDS or len(seconds) < 3):
        seconds.append(_ask(connection, path)[1])
    median, tail = statistics.median(seconds) * 1e3, percentile(seconds, 95) * 1e3
    times = f"median {median:.1f} ms, p95 {tail:.1f} ms, at first {first * 1e3:.0f} ms"
    return Row(name, f"{times}, {_bytes_of(answer) / 1e3:.1f} KB", budget)


def _whole_first_page(connection: Connection) -> Row:
    """With all that a browser fetches which was never here."""
    page, _ = _ask(connection, "/", {"Accept-Encoding": "identity"})
    parts = sorted(set(re.findall(r'"(/static/[^"]+)"', page.body.decode())))
    found = [_bytes_of(_ask(connection, path)[0]) for path in ("/", *parts)]
    size = f"{sum(found) / 1e3:.1f} KB in {len(found)} requests"
    return Row("first page, with style, script and icon", size, "< 30 KB")


def _ask(
    connection: Connection, path: str, headers: Mapping[str, str] | None = None
) -> tuple[Answer, float]:
    began = time.perf_counter()
    answer = expect(connection.request("GET", path, {**_BROWSER, **(headers or {})}), 200)
    return answer, time.perf_counter() - began


def _bytes_of(answer: Answer) -> int:
    """Of a head as it is sent, and of the body."""
    head = sum(len(name) + len(value) + 4 for name, value in answer.headers.items())
    return len("HTTP/1.1 200 OK\r\n\r\n") + head + len(answer.body)


# --- what is looked at ---


def _push_all(connection: Connection) -> None:
    """An image and an index of several, each with its referrers."""
    single = _push_image(connection, "amd64", "single")
    children = []
    for number in range(PLATFORMS):
        platform = {"os": "linux", "architecture": f"machine{number}"}
        children.append(_push_image(connection, platform["architecture"]) | {"platform": platform})
    index = {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": children}
    for subject in (single, _put(connection, index, "multi"), children[0]):
        for number in range(REFERRERS):
            _push_referrer(connection, subject, number)


def _push_image(connection: Connection, architecture: str, tag: str = "") -> dict[str, Any]:
    layers = [_push_blob(connection, os.urandom(2000), "layer.v1.tar+gzip") for _ in range(LAYERS)]
    config = {
        "os": "linux",
        "architecture": architecture,
        "config": {
            "Env": [f"VARIABLE_{number}=some value of it" for number in range(20)],
            "Labels": {f"org.example.label-{number}": "some text" for number in range(20)},
            "Entrypoint": ["/usr/bin/app"],
        },
        "history": [{"created_by": f"RUN make layer-{number} {'x' * 80}"} for number in range(10)],
    }
    described = _push_blob(connection, json.dumps(config).encode(), "config.v1+json")
    described["mediaType"] = _CONFIG_TYPE
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST_TYPE, "config": described}
    return _put(connection, manifest | {"layers": layers}, tag)


def _push_referrer(connection: Connection, subject: Mapping[str, Any], number: int) -> None:
    kinds = ("application/vnd.dev.cosign.artifact.sig.v1+json", "application/spdx+json")
    empty = _push_blob(connection, b"{}", "empty")
    known = {name: subject[name] for name in ("mediaType", "digest", "size")}
    _put(
        connection,
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "artifactType": kinds[number % 2],
            "config": empty,
            "layers": [_push_blob(connection, os.urandom(500), "layer.v1.tar")],
            "subject": known,
            "annotations": {"org.example.number": str(number)},
        },
    )


def _push_blob(connection: Connection, content: bytes, kind: str) -> dict[str, Any]:
    put_bytes(connection, _IMAGE, content, digest_of(content))
    media_type = f"application/vnd.oci.image.{kind}"
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def _put(connection: Connection, value: Mapping[str, Any], tag: str = "") -> dict[str, Any]:
    content = json.dumps(value).encode()
    digest, media_type = digest_of(content), value["mediaType"]
    path = f"/v2/{_IMAGE}/manifests/{tag or digest}"
    expect(connection.request("PUT", path, {"Content-Type": media_type}, content), 201)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _make_proxies(connection: Connection) -> None:
    for number in range(PROXIES):
        upstream = {"url": f"https://registry-{number}.example.com", "offline": True}
        body = {"storage": "docker", "name": f"proxy-{number:03}", "kind": "proxy"}
        content = json.dumps(body | {"upstream": upstream}).encode()
        headers = {"Content-Type": "application/json"}
        answer = connection.request("POST", "/api/v1/repositories", headers, content)
        if answer.status != 201:
            raise MeasurementFailed(f"a proxy: {answer.status}: {answer.body!r}")
