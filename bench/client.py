"""Pushes and pulls as curl does them: POST, PUT with the whole body, GET."""

import hashlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.servers import Server


def push_blob(server: Server, content: Path, digest: str) -> float:
    """Push by curl (one stream, known length); returns seconds from POST to 201."""
    started = time.perf_counter()
    connection = server.connect()
    headers = {**server.headers, "Content-Length": "0"}
    connection.request("POST", f"/v2/{server.image}/blobs/uploads/", headers=headers)
    answer = connection.getresponse()
    answer.read()
    location = answer.headers["Location"]
    connection.close()
    url = location if location.startswith("http") else server.url + location
    url += ("&" if "?" in url else "?") + f"digest={digest}"
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT"]
    command += ["-H", "Expect:", "-H", "Content-Type: application/octet-stream"]
    for name, value in server.headers.items():
        command += ["-H", f"{name}: {value}"]
    # -T streams from disk; --data-binary would hold a gibibyte in curl's memory
    command += ["-T", str(content), url]
    status = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own command
    if status != "201":
        raise SystemExit(f"{server.name}: PUT answered {status}")
    return time.perf_counter() - started


def pull_digest(
    server: Server, digest: str, watch: Callable[[], None] = lambda: None
) -> tuple[str, float]:
    """GET a blob; returns the digest of what came and the seconds it took."""
    started = time.perf_counter()
    connection = server.connect()
    connection.request("GET", f"/v2/{server.image}/blobs/{digest}", headers=server.headers)
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(f"{server.name}: GET answered {answer.status}")
    hasher = hashlib.sha256()
    while piece := answer.read(1 << 20):
        hasher.update(piece)
        watch()
    connection.close()
    return f"sha256:{hasher.hexdigest()}", time.perf_counter() - started


def file_digest(path: Path) -> str:
    """The sha256 digest of a file."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
