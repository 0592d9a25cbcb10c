"""Putting things into a registry by the specification's verbs, over one connection."""

import hashlib
import json
import os
import time
from pathlib import Path

from bench.servers import Server
from bench.wire import Answer, Connection, expect, head, location_of

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def begin_upload(connection: Connection, image: str) -> Answer:
    return expect(connection.request("POST", f"/v2/{image}/blobs/uploads/"), 202)


def put_bytes(connection: Connection, image: str, content: bytes, digest: str) -> None:
    """POST, then PUT with the whole small blob."""
    begun = begin_upload(connection, image)
    expect(connection.request("PUT", location_of(begun, digest=digest), body=content), 201)


def put_file(connection: Connection, image: str, path: Path, digest: str) -> float:
    """POST, then PUT with the whole file; returns seconds from its last byte to the answer."""
    begun = begin_upload(connection, image)
    return _send(connection, "PUT", location_of(begun, digest=digest), path, 201)


def patch_file(connection: Connection, image: str, path: Path, digest: str, step: int) -> float:
    """POST, a PATCH for every `step` bytes, PUT; returns seconds the last PUT took."""
    answer = begin_upload(connection, image)
    size = path.stat().st_size
    with path.open("rb") as file:
        for start in range(0, size, step):
            count = min(step, size - start)
            headers = {
                "Content-Length": str(count),
                "Content-Range": f"{start}-{start + count - 1}",
                "Content-Type": "application/octet-stream",
            }
            connection.send(head(connection.server, "PATCH", location_of(answer), headers))
            connection.send_file(file, start, count)
            answer = expect(connection.receive(), 202)
    return _finish(connection, answer, digest)


def stream_file(connection: Connection, image: str, path: Path, digest: str) -> float:
    """As docker pushes: POST, one PATCH of unknown length, PUT; returns seconds the PUT took."""
    begun = begin_upload(connection, image)
    headers = {"Transfer-Encoding": "chunked", "Content-Type": "application/octet-stream"}
    connection.send(head(connection.server, "PATCH", location_of(begun), headers))
    with path.open("rb") as file:
        connection.send_chunked(file)
    return _finish(connection, expect(connection.receive(), 202), digest)


def put_image(
    connection: Connection, image: str, tag: str, layers: list[dict[str, object]]
) -> None:
    """An image of layers that are there, and an empty configuration."""
    config = b"{}"
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    put_bytes(connection, image, config, digest)
    kind = "application/vnd.oci.image.config.v1+json"
    value = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": kind, "digest": digest, "size": len(config)},
        "layers": layers,
    }
    path = f"/v2/{image}/manifests/{tag}"
    body = json.dumps(value).encode()
    expect(connection.request("PUT", path, {"Content-Type": MANIFEST}, body), 201)


def put_manifest(connection: Connection, image: str, tag: str, layers: list[bytes]) -> None:
    """A manifest of small blobs that are stored; the first is also its configuration."""
    described = [
        {"mediaType": "application/octet-stream", "digest": digest_of(one), "size": len(one)}
        for one in layers
    ]
    content = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described[0],
            "layers": described[1:],
            "annotations": {"tag": tag},
        }
    ).encode()
    path = f"/v2/{image}/manifests/{tag}"
    expect(connection.request("PUT", path, {"Content-Type": MANIFEST}, content), 201)


def tag_image(server: Server, image: str, tags: list[str]) -> None:
    """A small image, like a typical one: a configuration and eight layers, under every tag."""
    layers = [os.urandom(1024) for _ in range(9)]
    with Connection(server) as connection:
        for layer in layers:
            put_bytes(connection, image, layer, digest_of(layer))
        for tag in tags:
            put_manifest(connection, image, tag, layers)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _finish(connection: Connection, answer: Answer, digest: str) -> float:
    started = time.perf_counter()
    expect(connection.request("PUT", location_of(answer, digest=digest)), 201)
    return time.perf_counter() - started


def _send(connection: Connection, method: str, target: str, path: Path, status: int) -> float:
    size = path.stat().st_size
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    connection.send(head(connection.server, method, target, headers))
    with path.open("rb") as file:
        connection.send_file(file, 0, size)
    started = time.perf_counter()
    expect(connection.receive(), status)
    return time.perf_counter() - started
