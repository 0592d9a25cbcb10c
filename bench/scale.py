"""Fill a store with many small manifests through its own verbs, as fast as commits group."""

from pathlib import Path

import msgspec
import trio

from cas.digest import Digest
from cas.local import open_store
from cas.verbs import Store
from index.changes import EdgeKind, ImageName, Link, PutManifest, PutObject, SetTag
from index.records import Manifest

MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = b"{}"
_AT_ONCE = 256


def fill(data: Path, *, manifests: int, large: str, small: str) -> None:
    """Make `large` an image with `manifests` tagged manifests, and `small` one with 100."""
    trio.run(_fill, data, manifests, large, small)


async def _fill(data: Path, manifests: int, large: str, small: str) -> None:
    async with open_store(data) as store:
        for name, count in ((large, manifests), (small, 100)):
            await _fill_image(store, _image(name), count)


def _image(name: str) -> ImageName:
    repository, _, path = name.rpartition("/")
    return ImageName(repository, path)


async def _fill_image(store: Store, image: ImageName, count: int) -> None:
    config = Digest.of(_CONFIG)
    await store.commit([PutObject(config.key, _CONFIG), Link(image, config.key)])
    limiter = trio.Semaphore(_AT_ONCE)
    async with trio.open_nursery() as nursery:
        for number in range(count):
            await limiter.acquire()
            nursery.start_soon(_put, store, image, number, limiter)


async def _put(store: Store, image: ImageName, number: int, limiter: trio.Semaphore) -> None:
    config = Digest.of(_CONFIG)
    content = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE,
            "config": {"mediaType": "application/json", "digest": str(config), "size": 2},
            "layers": [],
            "annotations": {"number": str(number)},
        }
    )
    digest = Digest.of(content)
    record = Manifest(media_type=MEDIA_TYPE, size=len(content))
    edges = ((config.key, EdgeKind.CONFIG),)
    await store.commit(
        [
            PutObject(digest.key, content),
            Link(image, digest.key),
            PutManifest(image, digest.key, record, edges),
            SetTag(image, f"v{number:06}", digest.key),
        ]
    )
    limiter.release()
