"""Damage that readers meet, on its way to the one who marks it."""

import pytest
import trio

from cas import layout
from cas.errors import Damaged
from cas.local import open_store
from tests.cas.damaging import CONTENT, flip, marked, place_of, tag, until
from tests.cas.pushing import drift, prepare, pull, push


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("cas.reporting.LOOK_SECONDS", 0.01)


@pytest.mark.usefixtures("quick")
async def test_a_reader_that_meets_damage_gets_nothing_and_has_it_marked_once(tmp_path, caplog):
    async with open_store(tmp_path) as store:
        await prepare(store)
        digest = await push(store, CONTENT)
        await tag(store, digest)
        flip(tmp_path, *place_of(store, digest))

        for _ in range(3):
            with pytest.raises(Damaged):
                await trio.to_thread.run_sync(pull_unlooped, store, digest)
        await until(lambda: marked(store))
        for _ in range(3):
            with pytest.raises(Damaged):
                pull(store, digest)
        await trio.sleep(0.1)

        said = [each for each in caplog.records if "local/images/a:latest" in each.message]
        assert len(said) == 1
        assert await drift(store) == []


def pull_unlooped(store, digest):
    return trio.from_thread.run_sync(pull, store, digest)


@pytest.mark.usefixtures("quick")
async def test_a_reader_that_misses_a_pack_has_all_of_it_marked(tmp_path):
    async with open_store(tmp_path) as store:
        await prepare(store)
        digest = await push(store, CONTENT)
        pack, _ = place_of(store, digest)
        chunks = store.read(lambda view: sum(1 for _ in view.iter_chunks(pack)))
        layout.pack_path(tmp_path, pack).unlink()

        with pytest.raises(Damaged):
            pull(store, digest)

        await until(lambda: len(marked(store)) == chunks)


@pytest.mark.usefixtures("quick")
async def test_a_report_that_is_not_true_any_more_marks_nothing(tmp_path):
    async with open_store(tmp_path) as store:
        await prepare(store)
        digest = await push(store, CONTENT)
        store.packs.damage.put(*place_of(store, digest))
        store.packs.damage.put(12345, 0)

        await until(lambda: not store.packs.damage._places)
        await trio.sleep(0.1)

        assert marked(store) == {}
