"""Collection on a real store: what is freed, what stays, and what it looks like meanwhile."""

import pytest

from cas import layout
from cas.digest import Digest
from cas.local import StoreSettings, open_store
from cas.verbs import Collect, Collected
from index.changes import Link
from tests.cas.pushing import IMAGE, OWNER, drift, fill, has, noise, prepare

AT_ONCE = StoreSettings(grace_seconds=0, lease_seconds=0, collection_seconds=0)
KIB = 1 << 10


@pytest.fixture
async def store(tmp_path):
    async with open_store(tmp_path, AT_ONCE) as store:
        await prepare(store)
        yield store


async def push(store, content: bytes) -> Digest:
    """Push without a lease."""
    from cas.verbs import Adopt

    upload = await fill(store, content)
    digest = Digest.of(content)
    await store.commit([Adopt(upload.id, digest, OWNER), Link(IMAGE, digest.key)])
    return digest


async def collect(store, **how) -> Collected:
    told = [each async for each in store.maintain(Collect(**how))]
    assert isinstance(told[-1], Collected)
    return told[-1]


def on_disk(root) -> int:
    return sum(path.stat().st_blocks * 512 for path in (root / layout.PACKS).iterdir())


async def test_what_nothing_refers_to_is_freed_to_the_last_byte(store, tmp_path):
    before = on_disk(tmp_path)
    digest = await push(store, noise(3 << 20))
    held = on_disk(tmp_path)

    report = await collect(store)

    assert not has(store, digest)
    assert (report.links, report.blobs, report.manifests) == (1, 1, 0)
    assert report.chunks > 10
    assert report.bytes_freed == held - on_disk(tmp_path) == held - before
    assert await drift(store) == []
