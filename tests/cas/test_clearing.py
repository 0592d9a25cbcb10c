"""Clearing: deleted repositories are taken apart by themselves, whatever ends the process."""

import pytest

from cas.digest import Digest
from cas.local import open_store
from cas.maintenance import clearing
from index.changes import (
    CreateStorage,
    DeleteRepository,
    EdgeKind,
    ImageName,
    Link,
    PutRepository,
    SetTag,
)
from index.errors import NoSpace
from index.records import Repository
from index.repositories import iter_leaving
from tests.cas.collecting import AT_ONCE, blocks, collect, push_manifest
from tests.cas.damaging import until
from tests.cas.pushing import IMAGE, REPOSITORY, drift, has, noise, prepare, pull, push

ELSEWHERE = ImageName("local/more", "kept")
SHARED = noise(300_000, "shared")
OWN = noise(2 << 20, "own")


async def fill(store, tags=300) -> tuple[Digest, Digest]:
    """A repository with a manifest and tags, that shares a blob with another one."""
    await prepare(store)
    await store.commit([CreateStorage("local"), PutRepository("local/more", Repository())])
    own, shared = await push(store, OWN), await push(store, SHARED)
    await store.commit([Link(ELSEWHERE, shared.key, 1 << 30)])
    manifest = await push_manifest(store, b"manifest", (own, shared), kind=EdgeKind.LAYER)
    await store.commit([SetTag(IMAGE, f"t{number}", manifest.key) for number in range(tags)])
    return own, shared


def is_leaving(store) -> bool:
    return store.read(lambda view: next(iter_leaving(view), None) is not None)


def tags_left(store) -> int:
    return store.read(lambda view: view.entries("tag"))


@pytest.fixture
async def store(tmp_path):
    async with open_store(tmp_path, AT_ONCE) as opened:
        yield opened


async def test_a_deleted_repository_goes_by_itself_and_others_keep_what_they_share(store, tmp_path):
    own, shared = await fill(store)

    await store.commit([DeleteRepository(REPOSITORY)])
    await until(lambda: not is_leaving(store))

    assert tags_left(store) == 0
    assert await drift(store) == []
    held = blocks(tmp_path)
    await collect(store)
    assert not has(store, own)
    assert pull(store, shared) == SHARED
    assert held - blocks(tmp_path) >= len(OWN) - (64 << 10)
    assert await drift(store) == []


async def test_every_step_is_bounded_and_leaves_no_drift(store, monkeypatch):
    await fill(store)
    seen = []
    step = clearing.clear_slice

    def counted(transaction, clock, rows):
        cleared = step(transaction, clock, rows)
        seen.append(transaction.rows)
        return cleared

    monkeypatch.setattr(clearing, "clear_slice", counted)
    monkeypatch.setattr(clearing, "ROWS", 64)
    await store.commit([DeleteRepository(REPOSITORY)])
    while is_leaving(store):
        assert await drift(store) == []

    assert max(seen) <= 64
    assert len(seen) > 600 // 64


async def test_a_collection_ends_what_is_left_of_a_deletion(store, monkeypatch):
    own, _ = await fill(store)

    tried = []

    def fail(*_, **__):
        tried.append(1)
        raise NoSpace

    with monkeypatch.context() as broken:
        broken.setattr(clearing, "clear_slice", fail)
        await store.commit([DeleteRepository(REPOSITORY)])
        await until(lambda: tried)
    assert is_leaving(store)

    await collect(store)

    assert not is_leaving(store)
    assert not has(store, own)


async def test_the_next_start_goes_on_with_a_deletion(tmp_path, monkeypatch):
    async with open_store(tmp_path, AT_ONCE) as store:
        await fill(store)
        steps, step = [], clearing.clear_slice

        def once(transaction, clock, rows):
            steps.append(rows)
            if len(steps) > 1:
                raise NoSpace
            return step(transaction, clock, 64)

        with monkeypatch.context() as broken:
            broken.setattr(clearing, "clear_slice", once)
            await store.commit([DeleteRepository(REPOSITORY)])
            await until(lambda: len(steps) > 1)
        assert 0 < tags_left(store) < 300

    async with open_store(tmp_path, AT_ONCE) as store:
        await until(lambda: not is_leaving(store))
        assert tags_left(store) == 0
        assert await drift(store) == []


async def test_where_nothing_was_deleted_nothing_is_written(store):
    await prepare(store)
    before = store.upkeep._works.writer.commits

    assert await store.upkeep.clearer.clear() == 0

    assert store.upkeep._works.writer.commits == before
