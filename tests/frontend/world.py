"""A real store with a few repositories, and a way to ask `answer` for anything in it."""

import json
from dataclasses import dataclass, replace
from functools import partial

from cas.digest import Digest
from cas.local import LocalStore
from cas.verbs import Adopt, Owner
from frontend.domain.manifests import OCI_INDEX, OCI_MANIFEST, parse_manifest
from frontend.domain.message import Extend, Principal, Realm, Request, Slice
from frontend.registry.respond import answer
from frontend.registry.site import Site
from index.changes import (
    INLINE_LIMIT,
    CreateStorage,
    ImageName,
    Link,
    PutManifest,
    PutObject,
    PutRepository,
    SetTag,
)
from index.records import Repository

NOW = 1_000_000
ANONYMOUS, STRANGER, ADMIN = Principal(), Principal("eve"), Principal("admin", is_admin=True)
APP = ImageName("local/public", "app")
SECRET = ImageName("local/private", "app")


@dataclass(frozen=True)
class Answer:
    """A response with its body read and its blobs closed."""

    status: int
    headers: dict[str, str]
    body: bytes
    extend: Extend | None
    steps: int
    slices: int

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def codes(self):
        return [entry["code"] for entry in self.json["errors"]]


class World:
    """`put_…` fill the store, `ask` reads it as the wire would."""

    def __init__(self, store: LocalStore) -> None:
        self.store = store
        store.now = lambda: NOW
        self.site = Site(Realm("http://orlop.test/v2/token", "orlop"), now=lambda: NOW)

    async def begin(self):
        await self.store.commit(
            [
                CreateStorage("local"),
                PutRepository("local/public", Repository(visibility="public")),
                PutRepository("local/private", Repository()),
            ]
        )

    async def put_blob(self, image, content, *, algorithm="sha256", lease=0):
        digest = Digest.of(content, algorithm)
        link = Link(image, digest.key, lease)
        if len(content) <= INLINE_LIMIT:
            await self.store.commit([PutObject(digest.key, content), link])
        else:
            owner = Owner(image, "admin", algorithm)
            upload, _ = await self.store.stage(owner)
            await upload.append(0, content)
            await self.store.commit([Adopt(upload.id, digest, owner), link])
        return digest

    async def put_manifest(self, image, content, *tags, media_type=None, algorithm="sha256"):
        digest = Digest.of(content, algorithm)
        parsed = parse_manifest(content, media_type)
        await self.store.commit(
            [
                PutObject(digest.key, content),
                Link(image, digest.key),
                PutManifest(
                    image,
                    digest.key,
                    parsed.record(NOW, "admin"),
                    tuple((child.key, kind) for child, kind in parsed.edges),
                    parsed.referrer(digest) if parsed.subject else b"",
                ),
                *(SetTag(image, tag, digest.key) for tag in tags),
            ]
        )
        return digest

    async def put_signature(self, image, subject, artifact_type, **annotations):
        content = image_json(subject=described(subject), artifactType=artifact_type) | {
            "annotations": annotations
        }
        return await self.put_manifest(image, json.dumps(content).encode())

    def ask(self, path, method="GET", who=ADMIN, query="", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(method, path, query, named, who)
        response, steps = self.store.read(partial(_look, request, self.site))
        slices = [part for part in response.body if isinstance(part, Slice)]
        body = b"".join(
            part.blob.read(part.start, part.stop) if isinstance(part, Slice) else part
            for part in response.body
        )
        for part in slices:
            part.blob.close()
        assert len(dict(response.headers)) == len(response.headers), "a header came twice"
        return Answer(
            response.status, dict(response.headers), body, response.extend, steps, len(slices)
        )

    def set_site(self, **changes):
        self.site = replace(self.site, **changes)


def _look(request, site, view):
    return answer(request, view, site), view.steps


def described(digest, media_type=OCI_MANIFEST, size=2):
    return {"mediaType": media_type, "digest": str(digest), "size": size}


def image_json(**more):
    config = described(Digest.of(b"{}"), "application/vnd.oci.image.config.v1+json")
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config,
        "layers": [],
    } | more


def image_bytes(**more):
    return json.dumps(image_json(**more)).encode()


def index_bytes(*children):
    return json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children)}
    ).encode()
