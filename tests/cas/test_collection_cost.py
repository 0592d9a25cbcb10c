"""What it costs to delete and collect one image: the same, however much else is stored."""

from pathlib import Path

import pytest

from cas.digest import Digest
from cas.local import open_store
from index import keys
from index.changes import (
    EdgeKind,
    ImageName,
    Link,
    PutManifest,
    PutObject,
    SetTag,
    Unlink,
)
from index.records import Manifest
from tests.cas.collecting import AT_ONCE, collect
from tests.cas.pushing import REPOSITORY, prepare

FEW, MANY = 400, 4000  # images
LAYERS = 4
PAGE = 4096


def image_changes(number: int):
    """A small image of its own, with layers that no other has."""
    image = ImageName(REPOSITORY, f"image-{number:06d}")
    layers = [b"layer %d of %d" % (each, number) for each in range(LAYERS)]
    manifest = b'{"image":%d}' % number
    digests = [Digest.of(each).key for each in layers]
    own = Digest.of(manifest).key
    edges = tuple((digest, EdgeKind.LAYER) for digest in digests)
    return [
        *(PutObject(digest, content) for digest, content in zip(digests, layers, strict=True)),
        *(Link(image, digest) for digest in digests),
        PutObject(own, manifest),
        Link(image, own),
        PutManifest(image, own, Manifest(media_type="m", size=len(manifest)), edges),
        SetTag(image, "latest", own),
    ]


def written() -> int:
    """Bytes that this process has written so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


async def cost_of_one(root, count: int):
    """Pages written by deleting and collecting one of `count` images, and each table's depth."""
    async with open_store(root, AT_ONCE) as store:
        await prepare(store)
        for start in range(0, count, 100):
            changes = [each for n in range(start, start + 100) for each in image_changes(n)]
            await store.commit(changes)
        pages = []
        for number in (count // 3, count // 2, count // 5):
            *_, tag = image_changes(number)
            before = written()
            await store.commit([Unlink(tag.image, tag.digest)])
            report = await collect(store)
            pages.append((written() - before) // PAGE)
            assert (report.manifests, report.blobs, report.links) == (1, LAYERS, LAYERS)
        return sorted(pages)[1], store.read(depths)


def depths(view) -> dict[str, int]:
    return {name: view.depth(name) for name in keys.TABLES}


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_deleting_and_collecting_costs_what_the_image_is(tmp_path):
    few, shallow = await cost_of_one(tmp_path / "few", FEW)
    many, deep = await cost_of_one(tmp_path / "many", MANY)

    deeper = [name for name in keys.TABLES if deep[name] > shallow[name]]
    assert all(deep[name] == shallow[name] + 1 for name in deeper)
    # Each of the commits touches a leaf or two of a table, so a level more is a page or two more.
    assert many <= few + 6 * len(deeper) + 4, (few, many, deeper)
