"""Our client of other registries, against real ones: open, with a password, and with tokens."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator

import pytest

from cas.digest import Digest
from frontend.domain.outbound import Credentials
from frontend.domain.upstream import Upstream
from frontend.upstream.answers import Wanted
from frontend.upstream.client import UpstreamClient
from frontend.upstream.errors import (
    BlobMissing,
    ManifestMissing,
    UpstreamDenied,
    UpstreamFault,
    UpstreamUnauthorized,
)
from frontend.upstream.transfers import fetching
from frontend.upstream.transport import Way
from tests.e2e.oci import CONFIG, LAYER, MANIFEST
from tests.e2e.peer import docker_registry
from tests.e2e.registry import Registry

KINDS = ("open", "htpasswd", "orlop")
PATH = "some/app"
LAYER_BYTES = os.urandom(3 << 20)
WAY = Way()


@pytest.fixture(scope="module")
def locked_peer() -> Iterator[Registry]:
    with docker_registry(secrets.token_urlsafe(12)) as registry:
        yield registry


class There:
    """An image in a real registry, and how it is configured as an upstream."""

    def __init__(self, registry: Registry, prefix: str) -> None:
        self.registry = registry
        self.prefix = prefix
        self.layer = self._push_blob(LAYER_BYTES)
        config = self._push_blob(b"{}")
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": config, "size": 2},
            "layers": [{"mediaType": LAYER, "digest": self.layer, "size": len(LAYER_BYTES)}],
        }
        self.manifest = json.dumps(document).encode()
        for tag in ("v1", "v2", "v3"):
            answer = self._ask("PUT", f"manifests/{tag}", self.manifest, MANIFEST)
            assert answer.status == 201, answer.body

    def client(self, password: str | None = None) -> UpstreamClient:
        password = self.registry.password if password is None else password
        login = Credentials(self.registry.user, password) if password else None
        url = f"http://{self.registry.address}/{self.prefix}"
        return UpstreamClient(Upstream.parse(url, login), WAY)

    def _ask(self, method: str, what: str, body: bytes = b"", media_type: str = "x/y"):
        target = what if what.startswith(("/", "http")) else f"/v2/{self.prefix}/{PATH}/{what}"
        return self.registry.ask(method, target, body, {"Content-Type": media_type})

    def _push_blob(self, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        location = self._ask("POST", "blobs/uploads/").headers["Location"]
        mark = "&" if "?" in location else "?"
        octets = "application/octet-stream"
        answer = self._ask("PUT", f"{location}{mark}digest={digest}", content, octets)
        assert answer.status == 201, answer.body
        return digest


@pytest.fixture(params=KINDS)
def there(request, peer, registry) -> There:
    if request.param == "open":
        return There(peer, "images")
    if request.param == "htpasswd":
        return There(request.getfixturevalue("locked_peer"), "images")
    return There(registry, "local/images")


@pytest.fixture
async def client(there):
    client = there.client()
    yield client
    await client.aclose()


async def test_a_manifest_comes_as_it_was_pushed(there, client):
    for method in ("HEAD", "GET", "GET"):
        async with client.open(method, Wanted(PATH, "manifests", "v1", (MANIFEST,))) as answer:
            content = await answer.read(1 << 20)

        assert (answer.media_type, answer.length) == (MANIFEST, len(there.manifest))
        assert answer.digest == Digest.of(there.manifest)
        assert content == (there.manifest if method == "GET" else b"")
    assert client.health().failures == 0


@pytest.mark.parametrize("start", [0, 1, len(LAYER_BYTES) - 1])
async def test_a_layer_comes_from_any_byte_on(there, client, start):
    content = bytearray()
    view = memoryview(bytearray(1 << 20))
    wanted = Wanted(PATH, "blobs", there.layer, start=start)

    async with fetching(client, wanted, len(LAYER_BYTES)) as transfer:
        while count := await transfer.receive_into(view):
            content += view[:count]

    assert content == LAYER_BYTES[start:]
    assert transfer.resumed == 0


async def test_tags_come_in_pages(client):
    tags, query = [], "n=2"
    while query is not None:
        async with client.open("GET", Wanted(PATH, "tags", query=query)) as answer:
            tags += json.loads(await answer.read(1 << 20))["tags"]
            query = answer.next_query

    assert tags == ["v1", "v2", "v3"]


async def test_what_is_not_there_is_missing(client):
    for wanted, kind in (
        (Wanted(PATH, "manifests", "none"), ManifestMissing),
        (Wanted(PATH, "blobs", "sha256:" + "0" * 64), BlobMissing),
        (Wanted("no/such", "manifests", "v1"), ManifestMissing),
    ):
        with pytest.raises(kind):
            async with client.open("GET", wanted):
                pass


@pytest.mark.parametrize("there", KINDS[1:], indirect=True)
async def test_who_may_not_is_told_apart_from_who_is_not_known(there):
    for password, kind in (("", UpstreamDenied), ("wrong", UpstreamUnauthorized)):
        client = there.client(password)
        with pytest.raises(UpstreamFault) as caught:
            async with client.open("GET", Wanted(PATH, "manifests", "v1")):
                pass
        await client.aclose()
        assert type(caught.value) is kind
