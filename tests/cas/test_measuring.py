"""How a store notes by itself how much it holds."""

import pytest
import trio

from cas.backup.back_up import back_up
from cas.local import open_store
from cas.maintenance import upkeep
from cas.maintenance.measuring import EVERY, note_if_due
from index.errors import NoSpace, WriterBusy
from index.growth import Sample, growth
from tests.cas.backups import opened, restored
from tests.cas.damaging import until
from tests.cas.pushing import drift, noise, prepare, push

NOON = 1_800_000_000.0


def samples(store) -> list[Sample]:
    return store.read(lambda view: growth(view, int(store.now() * 1000)))


async def note(store, now: float = NOON) -> float:
    store.now = lambda: now
    return await note_if_due(store.upkeep._works)


async def test_a_sample_is_what_the_statistics_count(store):
    await push(store, bytes(4 << 20))
    counted = await store.stats()

    await note(store)

    (sample,) = samples(store)
    assert sample == (NOON * 1000, counted.logical, counted.stored, counted.disk)
    assert sample.logical > sample.stored > 0


async def test_the_next_sample_is_due_an_hour_after_the_last(store):
    assert await note(store) == EVERY
    assert await note(store, NOON + 600) == EVERY - 600
    assert await note(store, NOON + EVERY - 0.5) == 0.5
    assert len(samples(store)) == 1

    assert await note(store, NOON + EVERY) == EVERY

    assert [each.at / 1000 for each in samples(store)] == [NOON, NOON + EVERY]


async def test_a_clock_that_was_ahead_holds_nothing_up(store):
    await note(store, NOON + 10 * EVERY)

    assert await note(store) == EVERY

    assert [each.at / 1000 for each in samples(store)] == [NOON]


async def test_what_is_not_due_costs_no_commit(store):
    await note(store)
    commits = store._writer.commits

    await note(store, NOON + 60)

    assert store._writer.commits == commits


async def test_it_notes_by_itself_and_goes_on_after_a_restart(tmp_path, monkeypatch):
    monkeypatch.setattr(upkeep, "FIRST", 0.01)
    async with open_store(tmp_path) as store:
        await until(lambda: samples(store))

    async with open_store(tmp_path) as store:
        await trio.sleep(0.1)
        assert len(samples(store)) == 1  # not again: it is not due

    async with open_store(tmp_path) as store:
        now = store.now()
        store.now = lambda: now + EVERY
        await until(lambda: len(samples(store)) == 2)
        assert await drift(store) == []


@pytest.mark.parametrize("error", [NoSpace(), WriterBusy(1)])
async def test_what_cannot_be_noted_is_left_out_and_the_next_one_comes(
    tmp_path, monkeypatch, error
):
    tried = []

    async def fail_once(works):
        tried.append(works)
        if len(tried) == 1:
            raise error
        return await note_if_due(works)

    monkeypatch.setattr(upkeep, "FIRST", 0.0)
    monkeypatch.setattr(upkeep, "EVERY", 0.01)
    monkeypatch.setattr(upkeep, "note_if_due", fail_once)
    async with open_store(tmp_path) as store:
        await until(lambda: samples(store))

        assert len(tried) == 2
        assert store.failure is None


async def test_a_backup_has_the_record_and_a_restore_brings_it_back(site):
    async with open_store(site.data) as store:
        await prepare(store)
        await push(store, noise(100_000))
        await note(store)
        noted = samples(store)
    await trio.to_thread.run_sync(back_up, site.data, site.folder)

    place = site.new_place()
    await restored(site.folder, place)

    async with opened(place) as store:
        store.now = lambda: NOON
        assert samples(store) == noted != []
