"""How a collection runs: dry, in bounded steps, one at a time, left and taken up, beside pushes."""

from contextlib import aclosing

import trio
import trio.lowlevel

from cas import appender
from cas.digest import Digest
from cas.local import StoreSettings, open_store
from cas.maintenance import collector, reclaim
from cas.verbs import Adopt, Collect, Collected
from index.changes import Link, SetTag, Unlink
from index.errors import ExpectationsFailed, TargetMissing
from index.placement import ROWS
from index.records import PackState
from tests.cas.collecting import (
    AT_ONCE,
    blocks,
    collect,
    garbage,
    push_idle,
    push_manifest,
    told_by,
)
from tests.cas.pushing import (
    IMAGE,
    OWNER,
    drift,
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
SETTINGS = AT_ONCE  # of the store


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


async def test_bytes_that_are_told_of_between_two_looks_stay(store, monkeypatch):
    """A push appends, its pack is sealed, collection looks, and only then the push commits."""
    monkeypatch.setattr(appender, "SEAL_SIZE", MIB)
    await push(store, noise(300_000, "kept"))
    await push_idle(store, noise(400_000, "gone"))
    content = noise(600_000, "told of late")
    has_looked, is_committed = trio.Event(), trio.Event()
    look_at, write = reclaim.look_at, store._placer._write

    def look_slowly(view, root, pack):
        found = look_at(view, root, pack)
        if found is not None and found.row.state is PackState.SEALED:
            trio.from_thread.run_sync(has_looked.set)
            trio.from_thread.run(is_committed.wait)
        return found

    async def write_late(build):
        monkeypatch.setattr(reclaim, "look_at", look_slowly)
        await has_looked.wait()
        return await write(build)

    async def push_late() -> None:
        await push(store, content)
        is_committed.set()

    monkeypatch.setattr(store._placer, "_write", write_late)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(push_late)
            while not has_looked.is_set():
                await collect(store)

    assert pull(store, Digest.of(content)) == content
    assert await drift(store) == []
