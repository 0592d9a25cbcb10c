"""Collection on a real store: what is freed, what stays, and what others see meanwhile."""

from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from cas import appender, layout, placing
from cas.digest import Digest
from cas.keeping import keeping_packs
from cas.local import StoreSettings, open_store
from cas.verbs import Adopt
from index.changes import EdgeKind, Link, Unlink
from index.errors import ExpectationsFailed
from index.expectations import Linked
from index.records import PackState
from tests.cas.collecting import (
    AT_ONCE,
    blocks,
    collect,
    garbage,
    push_idle,
    push_manifest,
)
from tests.cas.pushing import (
    IMAGE,
    OTHER,
    OWNER,
    drift,
    files,
    fill,
    has,
    is_linked,
    noise,
    prepare,
    pull,
    push,
)

MIB = 1 << 20
SETTINGS = AT_ONCE  # of the store


def pack_files(root) -> list[str]:
    return files(root / layout.PACKS)


# --- what goes ---


async def test_what_nothing_refers_to_is_freed_to_the_last_block(store, tmp_path):
    before = blocks(tmp_path)
    digest = await push_idle(store, noise(3 * MIB))
    held = blocks(tmp_path)

    report = await collect(store)

    assert not has(store, digest)
    assert (report.links, report.blobs, report.manifests, report.packs) == (1, 1, 0, 1)
    assert report.chunks > 10
    assert report.bytes_freed == held - blocks(tmp_path) == held - before
    assert garbage(store) == 0
    assert await drift(store) == []


async def test_an_adopted_file_is_unlinked(store, tmp_path, monkeypatch):
    monkeypatch.setattr(placing, "ADOPT_BYTES", MIB)
    kept = await push(store, noise(2 * MIB, "kept"))
    before = pack_files(tmp_path)
    await push_idle(store, noise(2 * MIB))
    assert len(pack_files(tmp_path)) == len(before) + 1

    await collect(store)

    assert pack_files(tmp_path) == before
    assert pull(store, kept) == noise(2 * MIB, "kept")
    assert await drift(store) == []


async def test_small_blobs_and_manifests_leave_the_index(store):
    blob = await push_idle(store, b"small")
    manifest = await push_manifest(store, b"{}", (blob,))
    await store.commit([Unlink(IMAGE, manifest.key)])

    report = await collect(store)

    assert (report.manifests, report.blobs, report.links) == (1, 1, 1)
    assert store.read(lambda view: view.entries("inline")) == 0
    assert store.read(lambda view: view.image(IMAGE)) is None
    assert await drift(store) == []


async def test_what_is_shared_stays_and_the_rest_of_its_pack_is_freed(store, tmp_path):
    shared = noise(2 * MIB, "shared")
    await push_idle(store, shared + noise(2 * MIB))
    kept = await push(store, shared)
    held = blocks(tmp_path)

    report = await collect(store)

    assert pull(store, kept) == shared
    assert report.bytes_freed == held - blocks(tmp_path)
    assert 2 * MIB - 256 * 1024 <= report.bytes_freed <= 2 * MIB + 256 * 1024
    assert await drift(store) == []
    assert (await collect(store)).packs == 0  # nothing is done twice


async def test_abandoned_uploads_expire(tmp_path):
    async with open_store(tmp_path, StoreSettings(upload_expiry_seconds=0)) as store:
        await prepare(store)
        await fill(store, noise(100_000))
        await trio.sleep(0.01)

        report = await collect(store)

        assert report.uploads_expired == 1
        assert files(tmp_path / layout.UPLOADS) == []


# --- what stays ---


async def test_grace_and_lease_keep_what_nothing_refers_to(tmp_path):
    settings = StoreSettings(grace_seconds=100, lease_seconds=500, collection_seconds=0)
    async with open_store(tmp_path, settings) as store:
        await prepare(store)
        began = store.now()
        leased = await push(store, noise(100_000, "leased"))  # for an hour
        idle = await push_idle(store, noise(100_000, "idle"))

        store.now = lambda: began + 90
        await collect(store)
        assert has(store, idle)

        store.now = lambda: began + 110
        await collect(store)
        assert not has(store, idle)
        assert has(store, leased)

        store.now = lambda: began + 3700
        await collect(store)
        assert not has(store, leased)


async def test_an_extended_link_stays(tmp_path):
    settings = StoreSettings(grace_seconds=0, lease_seconds=3600, collection_seconds=0)
    async with open_store(tmp_path, settings) as store:
        await prepare(store)
        began = store.now()
        digest = await push(store, noise(100_000))

        store.now = lambda: began + 3000
        await store.extend(IMAGE, digest)  # as a HEAD does
        store.now = lambda: began + 6000
        await collect(store)
        manifest = await push_manifest(store, b"{}", (digest,), ("v1",))
        store.now = lambda: began + 9_000_000
        await collect(store)

        assert is_linked(store, IMAGE, digest)
        assert has(store, manifest)


async def test_tags_manifests_and_parents_keep_what_they_need(store):
    layers = [await push(store, noise(100_000, name)) for name in "abc"]
    child = await push_manifest(store, b"child", (layers[0],))
    index = await push_manifest(store, b"index", (child,), ("v1",), kind=EdgeKind.CHILD)
    lone = await push_manifest(store, b"lone", (layers[1],))

    await collect(store)

    assert all(has(store, each) for each in (*layers[:2], child, index, lone))


async def test_a_link_in_one_image_goes_and_the_others_stays(store):
    digest = await push_idle(store, noise(100_000))
    await store.commit([Link(OTHER, digest.key, 3600)], [Linked(IMAGE, digest.key)])

    report = await collect(store)

    assert (report.links, report.blobs) == (1, 0)
    assert not is_linked(store, IMAGE, digest)
    assert is_linked(store, OTHER, digest)
    assert pull(store, digest) == noise(100_000)


async def test_a_reader_keeps_its_bytes_through_unlink_and_rewrite(store, tmp_path, monkeypatch):
    monkeypatch.setattr(placing, "ADOPT_BYTES", 8 * MIB)
    dead, half = noise(9 * MIB, "dead"), noise(3 * MIB, "half")
    unlinked = await push_idle(store, dead)
    rewritten = await push_idle(store, half)
    await push(store, half[:MIB])  # keeps a part of the pack alive
    blobs = [store.read(lambda view, d=d: view.open(d)) for d in (unlinked, rewritten)]

    report = await collect(store)
    assert report.packs == 2

    assert [blob.read(0, blob.size) for blob in blobs] == [dead, half]
    for blob in blobs:
        blob.close()
    assert await drift(store) == []


async def test_the_last_reader_of_a_replaced_pack_closes_it(store, tmp_path):
    digest = await push_idle(store, noise(MIB))
    opened = [store.read(lambda view: view.open(digest)) for _ in range(2)]
    assert len(deleted_files()) == 0

    await collect(store)

    assert len(deleted_files()) == 1  # shared by both
    opened[0].close()
    assert len(deleted_files()) == 1
    opened[1].close()
    assert deleted_files() == []


def deleted_files() -> list[str]:
    """Packs that this process holds open although they have no name any more."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    return [each for each in found if each.endswith(" (deleted)") and f"/{layout.PACKS}/" in each]


async def test_bytes_of_a_commit_that_failed_are_freed_too(store, tmp_path, monkeypatch):
    """They were appended, and no row ever told of them."""
    monkeypatch.setattr(appender, "SEAL_SIZE", 2 * MIB)
    kept = await push(store, noise(MIB, "kept"))
    lost = noise(MIB, "lost")
    upload = await fill(store, lost)
    changes = [Adopt(upload.id, Digest.of(lost), OWNER), Link(IMAGE, Digest.of(lost).key)]
    with pytest.raises(ExpectationsFailed):
        await store.commit(changes, [Linked(OTHER, kept.key)])
    await upload.cancel()
    await push(store, noise(100_000, "next"))  # into the pack that follows
    held = blocks(tmp_path)

    report = await collect(store, is_thorough=False)

    assert report.bytes_freed == held - blocks(tmp_path)
    assert report.bytes_freed >= MIB - 8 * 1024
    assert pull(store, kept) == noise(MIB, "kept")


async def test_a_pinned_pack_waits(store, tmp_path):
    digest = await push_idle(store, noise(MIB))
    await store.commit([Unlink(IMAGE, digest.key)])
    (pack,) = [int(name, 16) for name in pack_files(tmp_path)]

    with store.pins.holding(pack):
        report = await collect(store)
        assert (report.packs, report.postponed) == (0, 1)
        assert f"{pack:016x}" in pack_files(tmp_path)

    assert (await collect(store)).packs == 1
    assert f"{pack:016x}" not in pack_files(tmp_path)


async def test_a_backup_postpones_what_touches_files(store, tmp_path):
    await push_idle(store, noise(MIB))
    before = pack_files(tmp_path)

    with keeping_packs(tmp_path):
        report = await collect(store)
        assert (report.blobs, report.packs, report.postponed) == (1, 0, 1)
        assert set(before) <= set(pack_files(tmp_path))

    assert (await collect(store)).packs == 1
    assert not set(before) & set(pack_files(tmp_path))
    assert await drift(store) == []


async def test_unasked_a_rewrite_waits_until_it_is_worth_it(store, tmp_path, monkeypatch):
    monkeypatch.setattr(appender, "SEAL_SIZE", 8 * MIB)
    parts = [noise(MIB, number) for number in range(10)]
    digests = [await push_idle(store, part) for part in parts]
    manifests = [
        await push_manifest(store, b"m%d" % number, (digest,), (f"v{number}",))
        for number, digest in enumerate(digests)
    ]
    sealed = await states(store)
    assert PackState.SEALED in sealed

    await store.commit([Unlink(IMAGE, manifests[0].key)])
    held = blocks(tmp_path)
    few = await collect(store, is_thorough=False)
    assert (few.blobs, few.packs) == (1, 0)
    assert blocks(tmp_path) == held

    await store.commit([Unlink(IMAGE, each.key) for each in manifests[1:3]])
    more = await collect(store, is_thorough=False)
    assert (more.packs, more.bytes_freed) == (1, held - blocks(tmp_path))
    assert more.bytes_freed >= 3 * MIB - 64 * 1024
    assert [pull(store, each) for each in digests[3:]] == parts[3:]


async def states(store) -> list[PackState]:
    return store.read(lambda view: [row.state for _, row in view.iter_packs()])
