"""Servers whose disk is spoilt behind their back, and what tests push to them and ask of them."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from cas.digest import Digest
from cas.local import LocalStore
from frontend.domain.manifests import OCI_MANIFEST
from frontend.settings import Gc, Http, Scrub, Settings, Storage
from tests.cas.damaging import flip, place_of, spoil_inline
from tests.frontend.live import Live, digest_of, running

KIB = 1 << 10


@contextmanager
def serving_spoilt(data: Path) -> Iterator[Live]:
    """A server that neither collects nor scrubs by itself, and may say what is damaged."""
    settings = Settings(
        http=Http(listen="127.0.0.1:0", shutdown_seconds=2),
        gc=Gc(grace_seconds=0, lease_seconds=3600, interval_seconds=0),
        scrub=Scrub(interval_seconds=0),
        storage=Storage(data=str(data)),
    )
    with running(data, settings) as live:
        live.errors.expect("cut short", "damaged: ")
        yield live


def layer(size: int = 300 * KIB) -> bytes:
    return secrets.token_bytes(size)


def store_of(server: Live) -> LocalStore:
    return server.registry.store


def spoil(server: Live, content: bytes, at: int = 100 * KIB) -> None:
    """Flip a byte of a blob on the disk."""

    async def place():
        return place_of(store_of(server), Digest.parse(digest_of(content)), at)

    flip(server.server.data, *server.run(place))


def scrub(server: Live) -> dict:
    answer = server.client.post("/api/v1/scrub")
    assert answer.status_code == 200, answer.text
    return answer.json()


def status(server: Live, method: str, path: str) -> int:
    return server.client.request(method, f"/v2/{path}").status_code


def blob_path(image: str, content: bytes) -> str:
    return f"{image}/blobs/{digest_of(content)}"


def document(*blobs: bytes) -> bytes:
    """A manifest of a config and layers."""
    found = [{"mediaType": "a/b", "digest": digest_of(each), "size": len(each)} for each in blobs]
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": found[0],
            "layers": found[1:],
        }
    ).encode()


def put(server: Live, image: str, content: bytes, reference: str = "latest") -> httpx.Response:
    headers = {"Content-Type": json.loads(content)["mediaType"]}
    return server.client.put(f"/v2/{image}/manifests/{reference}", content=content, headers=headers)


def spoil_in_index(server: Live, content: bytes) -> None:
    """Change a byte of an object that lives in the index, behind the store's back."""

    async def change():
        spoil_inline(store_of(server)._environment, Digest.parse(digest_of(content)))

    server.run(change)
