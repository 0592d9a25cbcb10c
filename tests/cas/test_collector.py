"""Collection on a real store: what is freed, what stays, and what others see meanwhile."""

from contextlib import aclosing

import pytest
import trio
import trio.lowlevel

from cas import appender, collector, layout, placing
from cas.digest import Digest
from cas.keeping import keeping_packs
from cas.local import StoreSettings, open_store
from cas.verbs import Adopt, Collect, Collected
from index.changes import EdgeKind, Link, Linked, SetTag, Unlink
from index.errors import ExpectationsFailed, TargetMissing
from index.placement import ROWS
from index.records import PackState
from tests.cas.collecting import (
    AT_ONCE,
    blocks,
    collect,
    push_idle,
    push_manifest,
    told_by,
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
from tests.index.tables import dump

MIB = 1 << 20


@pytest.fixture
async def store(tmp_path):
    async with open_store(tmp_path, AT_ONCE) as store:
        await prepare(store)
        yield store


def garbage(store) -> int:
    return store.read(lambda view: view.entries("garbage"))


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


# --- how ---


async def test_a_dry_run_tells_what_the_next_one_does(store, tmp_path):
    shared = noise(MIB, "shared")
    await push_idle(store, shared + noise(2 * MIB))
    await push(store, shared)
    manifest = await push_manifest(store, b"gone")
    await store.commit([Unlink(IMAGE, manifest.key)])
    before, held = store.read(dump), blocks(tmp_path)

    due, would = await told_by(store, is_dry=True)
    assert (store.read(dump), blocks(tmp_path)) == (before, held)
    report = await collect(store)

    same = ("links", "manifests", "blobs", "chunks", "uploads_expired")
    assert [getattr(would, name) for name in same] == [getattr(report, name) for name in same]
    assert abs(would.bytes_freed - report.bytes_freed) < MIB / 4
    assert {each.kind for each in due} == {"link", "blob", "manifest"}
    assert any(str(IMAGE) in each.name for each in due)
    assert all(each.why for each in due)


async def test_no_transaction_is_longer_than_it_may_be(store):
    layers = tuple([await push(store, noise(70_000, n)) for n in range(40)])
    for number in range(120):
        manifest = await push_manifest(store, b"m%d" % number, layers)
        await store.commit([Unlink(IMAGE, manifest.key)])
    await push_idle(store, noise(40 * MIB))

    report = await collect(store)

    assert report.manifests == 120
    assert report.chunks > 500
    assert 0 < report.most_rows <= ROWS
    assert await drift(store) == []


async def test_a_run_that_is_left_goes_on_the_next_time(tmp_path):
    async with open_store(tmp_path, AT_ONCE) as store:
        await prepare(store)
        for number in range(60):
            await push_idle(store, noise(200_000, number))
        async with aclosing(store.maintain(Collect())) as steps:
            async for _ in steps:
                break
        assert garbage(store)
        assert await drift(store) == []

    async with open_store(tmp_path, AT_ONCE) as store:
        await collect(store)
        assert store.read(lambda view: view.entries("object")) == 0
        assert garbage(store) == 0
        assert await drift(store) == []


async def test_a_start_leaves_what_was_collected_to_the_next_run(tmp_path, monkeypatch):
    monkeypatch.setattr(collector, "ROWS", 40)  # an object takes many slices
    async with open_store(tmp_path, AT_ONCE) as store:
        await prepare(store)
        await push_idle(store, noise(10 * MIB))
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(collect, store)
                while not works(store):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        left = works(store)
        assert left

    async with open_store(tmp_path, AT_ONCE) as store:
        assert works(store) == left
        await collect(store)
        assert store.read(lambda view: view.entries("work") + view.entries("extent")) == 0
        assert await drift(store) == []


def works(store) -> list[int]:
    return store.read(lambda view: [number for number, _ in view.iter_work()])


async def test_two_runs_do_not_meet(store):
    for number in range(20):
        await push_idle(store, noise(100_000, number))
    reports: list[Collected] = []

    async def run() -> None:
        reports.append(await collect(store))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        nursery.start_soon(run)

    assert sorted(report.blobs for report in reports) == [0, 20]


async def test_runs_are_recorded_and_idle_ones_that_nobody_asked_for_are_not(store):
    await collect(store, is_thorough=False)
    assert runs(store) == []
    await push_idle(store, noise(100_000))
    await collect(store, is_thorough=False)
    await collect(store, is_dry=True)
    await collect(store)

    (asked, unasked) = runs(store)
    assert (asked.is_asked, asked.figures["blobs"]) == (True, 0)
    assert (unasked.is_asked, unasked.figures["blobs"]) == (False, 1)
    assert asked.ended_at
    assert asked.error == unasked.error == ""


async def test_a_run_that_was_left_says_so(store):
    for number in range(60):
        await push_idle(store, noise(200_000, number))
    async with aclosing(store.maintain(Collect())) as steps:
        async for _ in steps:
            break

    (run,) = runs(store)
    assert run.ended_at
    assert run.error


async def test_it_runs_by_itself(tmp_path):
    settings = StoreSettings(grace_seconds=0, lease_seconds=0, collection_seconds=0.05)
    async with open_store(tmp_path, settings) as store:
        await prepare(store)
        digest = await push_idle(store, noise(100_000))
        with trio.fail_after(10):
            while has(store, digest):  # noqa: ASYNC110 - nobody tells of what it does by itself
                await trio.sleep(0.01)


def runs(store):
    return store.read(lambda view: [run for _, run in view.iter_runs()])


# --- against who pushes at the same time ---


async def test_a_push_in_the_instant_of_collection_wins(store):
    content = noise(300_000)
    digest = Digest.of(content)
    pushed = 0

    async def collect_all() -> None:
        while True:
            await collect(store)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect_all)
            for number in range(60):
                await push_idle(store, content)
                try:
                    manifest = await push_manifest(store, b"m%d" % number, (digest,), ("v1",))
                except (ExpectationsFailed, TargetMissing):
                    continue
                if is_linked(store, IMAGE, digest):
                    assert pull(store, digest) == content
                    pushed += 1
                await store.commit([SetTag(IMAGE, "v1", None), Unlink(IMAGE, manifest.key)])
            nursery.cancel_scope.cancel()

    assert await drift(store) == []
    await collect(store)
    assert store.read(lambda view: view.entries("object")) == 0


async def test_a_chunk_that_goes_between_look_and_commit_is_stored_anew(store):
    """Many blobs that share chunks come and go: none is ever wrong."""
    shared = noise(400_000, "shared")

    async def come_and_go(lane: int) -> None:
        for number in range(12):
            content = noise(100_000 + lane, lane) + shared + noise(50_000, number)
            upload = await fill(store, content)
            digest = Digest.of(content)
            changes = [Adopt(upload.id, digest, OWNER), Link(IMAGE, digest.key, 3600)]
            await store.commit(changes)
            assert pull(store, digest) == content
            await store.commit([Unlink(IMAGE, digest.key)])

    async def collect_all() -> None:
        while True:
            await collect(store)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect_all)
            async with trio.open_nursery() as pushing:
                for lane in range(4):
                    pushing.start_soon(come_and_go, lane)
            nursery.cancel_scope.cancel()

    assert await drift(store) == []
    await collect(store)
    assert store.read(lambda view: view.entries("chunk_at")) == 0
