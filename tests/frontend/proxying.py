"""Proxy repositories of tests, and what is pushed to their upstream."""

import secrets

from frontend.domain.manifests import OCI_MANIFEST
from tests.frontend.live import PASSWORD, digest_of
from tests.frontend.world import image_bytes

LAYER = bytes(range(256)) * 4096  # 1 MiB


def new_proxy(live, upstream, visibility="private", **settings) -> str:
    name = f"p{secrets.token_hex(4)}"
    source = {"url": f"{upstream.url}/local/images", "username": "admin", "password": PASSWORD}
    body = {
        "storage": "local",
        "name": name,
        "kind": "proxy",
        "visibility": visibility,
        "upstream": source | settings,
    }
    answer = live.client.post("/api/v1/repositories", json=body)
    assert answer.status_code == 201, answer.text
    return f"local/{name}"


def push(upstream, name: str, tag: str, layer: bytes = LAYER) -> str:
    """An image of a config and a layer; returns its manifest's digest."""
    image = f"local/images/{name}"
    upstream.push(image, b"{}")
    upstream.push(image, layer)
    layers = [{"mediaType": "x/y", "digest": digest_of(layer), "size": len(layer)}]
    content = image_bytes(layers=layers)
    put(upstream, image, tag, content)
    return digest_of(content)


def put(server, image: str, reference: str, content: bytes, kind: str = OCI_MANIFEST) -> None:
    answer = server.client.put(
        f"/v2/{image}/manifests/{reference}", content=content, headers={"Content-Type": kind}
    )
    assert answer.status_code == 201, answer.text


def fetched(live, repository: str) -> int:
    """Bytes of bodies that came from the upstream of a proxy repository."""
    record = live.registry.store.read(lambda view: view.repository(repository))

    async def look() -> int:
        return live.registry.proxy.sources.health(record).bytes_fetched

    return live.run(look)
