"""Scrub on a real store: what it finds, what it marks, what it leaves alone."""

import logging
from contextlib import aclosing

import pytest
import trio

from cas import layout
from cas.digest import Digest
from cas.errors import Damaged
from cas.local import StoreSettings, open_store
from cas.maintenance import rehash, scrubber, upkeep
from cas.maintenance.scrubber import pause
from cas.verbs import Progress, Scrub, Scrubbed
from index.changes import Link, PutObject
from tests.cas.collecting import AT_ONCE, collect, push_idle
from tests.cas.damaging import (
    assert_clean,
    flip,
    forget,
    marked,
    place_of,
    resident,
    scrub,
    spoil_inline,
    tag,
    until,
)
from tests.cas.pushing import IMAGE, OTHER, drift, noise, prepare, pull, push

KIB = 1 << 10
CONTENT = noise(300 * KIB, "scrubbed")


def is_named(view, name: bytes) -> bool:
    return view.chunk(name) is not None


async def test_a_sound_store_is_read_to_its_last_byte_and_nothing_is_found(store):
    await push(store, CONTENT)
    await push(store, noise(200 * KIB, "other"))
    await push(store, b"inline")

    report = await scrub(store)

    assert report.bytes == 500 * KIB + len(b"inline")
    assert (report.objects, report.found, report.standing) == (1, 0, 0)
    assert report.chunks == (await store.stats()).chunks
    assert marked(store) == {}


async def test_a_flipped_byte_is_found_marked_and_named_with_its_images(store, tmp_path, caplog):
    digest = await push(store, CONTENT)
    await tag(store, digest)
    await tag(store, digest, OTHER, "second")
    pack, offset = place_of(store, digest, 150 * KIB)
    flip(tmp_path, pack, offset)

    report = await scrub(store)

    ((found, start),) = marked(store)
    row = marked(store)[found, start]
    assert (found, start <= offset < start + row.length) == (pack, True)
    assert (report.found, report.standing) == (1, 1)
    (sentence,) = report.damaged
    assert sentence == (
        f"pack {pack:016x}, bytes {start} to {start + row.length}: "
        "needed by local/images/a:latest, local/images/b:second"
    )
    assert [each.message for each in caplog.records if sentence in each.message] != []
    assert not store.read(lambda view: is_named(view, row.name))
    assert await drift(store) == []


async def test_what_is_known_is_not_found_twice_and_not_said_twice(store, tmp_path, caplog):
    digest = await push(store, CONTENT)
    flip(tmp_path, *place_of(store, digest))
    await scrub(store)
    caplog.clear()

    report = await scrub(store)

    assert (report.found, report.standing, len(report.damaged)) == (0, 1, 1)
    assert caplog.records == []


async def test_damage_that_memory_hides_is_found_on_the_disk(store, tmp_path):
    """The disk holds something else than the page cache: only a direct read can tell."""
    digest = await push(store, CONTENT)
    pack, _ = place_of(store, digest)
    forget(tmp_path, pack)

    await scrub(store)

    assert resident(tmp_path, pack) == 0  # nothing was read through memory
    assert pull(store, digest) == CONTENT
    held = resident(tmp_path, pack)
    await scrub(store)
    assert resident(tmp_path, pack) == held  # and nothing was put out of it


@pytest.mark.parametrize("size", [0, 1, 100 * KIB])
async def test_a_cut_off_pack_is_damage_of_all_beyond_its_end(store, tmp_path, size):
    digest = await push(store, CONTENT)
    pack, _ = place_of(store, digest)
    rows = store.read(lambda view: list(view.iter_chunks(pack)))
    path = layout.pack_path(tmp_path, pack)
    with path.open("r+b") as file:
        file.truncate(size)

    report = await scrub(store)

    lost = {(pack, offset) for offset, row in rows if offset + row.length > size}
    assert marked(store).keys() == lost
    assert (report.found, report.standing) == (len(lost), len(lost))


async def test_a_missing_pack_is_damage_of_all_its_chunks_in_small_transactions(
    store, tmp_path, monkeypatch
):
    monkeypatch.setattr(rehash, "CHUNKS", 3)
    digest = await push(store, CONTENT)
    kept = await push(store, b"inline")
    pack, _ = place_of(store, digest)
    rows = store.read(lambda view: list(view.iter_chunks(pack)))
    assert len(rows) > 6
    layout.pack_path(tmp_path, pack).unlink()

    report = await scrub(store)

    assert len(marked(store)) == report.found == len(rows)
    assert len(report.damaged) == 1  # side by side: one sentence
    assert pull(store, kept) == b"inline"


async def test_a_flipped_inline_object_is_found_and_not_served(store, tmp_path):
    content = b"an object in the index"
    digest = Digest.of(content)
    await store.commit([PutObject(digest.key, content), Link(IMAGE, digest.key)])
    await tag(store, digest)
    spoil_inline(store._environment, digest)

    report = await scrub(store)

    assert (report.found, report.standing) == (1, 1)
    assert report.damaged == (f"{digest}, in the index: needed by local/images/a:latest",)
    with pytest.raises(Damaged):
        pull(store, digest)
    assert await drift(store) == []


async def test_what_is_sound_again_is_shared_again(store, tmp_path):
    """A cable was loose: nobody mended anything, the disk reads right again."""
    digest = await push(store, CONTENT)
    pack, offset = place_of(store, digest)
    flip(tmp_path, pack, offset)
    await scrub(store)
    ((_, row),) = marked(store).items()
    flip(tmp_path, pack, offset)

    report = await scrub(store)

    assert (report.mended, report.standing) == (1, 0)
    assert store.read(lambda view: is_named(view, row.name))
    assert pull(store, digest) == CONTENT


async def test_a_new_push_does_not_share_what_is_damaged(store, tmp_path):
    first = await push(store, CONTENT)
    flip(tmp_path, *place_of(store, first))
    await scrub(store)

    other = await push(store, CONTENT + b"and more")

    assert pull(store, other) == CONTENT + b"and more"
    with pytest.raises(Damaged):
        pull(store, first)
    assert await drift(store) == []


async def test_the_mark_goes_with_the_chunk(tmp_path):
    async with open_store(tmp_path, AT_ONCE) as store:
        await prepare(store)
        digest, inline = await push(store, CONTENT), await push(store, b"inline")
        flip(tmp_path, *place_of(store, digest))
        spoil_inline(store._environment, inline)
        assert (await scrub(store)).found == 2
        store.now = lambda: 2e9

        await collect(store)

        assert marked(store) == {}
        assert await drift(store) == []


# --- how it goes on ---


async def test_an_interrupted_scrub_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(rehash, "CHUNKS", 2)
    monkeypatch.setattr(scrubber, "CURSOR_SECONDS", 0.0)
    async with open_store(tmp_path) as store:
        await prepare(store)
        await push(store, CONTENT)
        await push(store, b"inline")
        total = (await scrub(store)).chunks
        async with aclosing(store.maintain(Scrub())) as telling:
            for _ in range(3):
                assert isinstance(await anext(telling), Progress)

    async with open_store(tmp_path) as store:
        report = await scrub(store)

        assert report.is_resumed
        assert total - 6 <= report.chunks <= total - 4  # the third step may be done again
        assert report.objects == 1
        again = await scrub(store)
        assert (again.chunks, again.is_resumed) == (total, False)


async def test_a_run_is_recorded_with_its_figures(store, tmp_path):
    digest = await push(store, CONTENT)
    flip(tmp_path, *place_of(store, digest))

    report = await scrub(store)

    ((_, run),) = store.read(lambda view: list(view.iter_runs()))
    assert (run.kind, run.is_asked, run.error) == ("scrub", True, "")
    assert run.figures["standing"] == run.figures["found"] == 1
    assert run.figures["bytes"] == report.bytes


def runs_of(store):
    return store.read(lambda view: [run for _, run in view.iter_runs()])


async def test_it_scrubs_by_itself_when_the_last_one_is_long_ago(tmp_path, monkeypatch):
    monkeypatch.setattr(upkeep, "LOOK_SECONDS", 0.01)
    settings = StoreSettings(scrub_seconds=1000, scrub_bytes_per_second=0)

    def runs(store):
        return [run for run in runs_of(store) if run.ended_at]

    async with open_store(tmp_path, settings) as store:
        await until(lambda: runs(store))
        await trio.sleep(0.1)
        assert [run.is_asked for run in runs(store)] == [False]  # not again: it is not due

        began = store.now()
        store.now = lambda: began + 1001
        await until(lambda: len(runs(store)) == 2)


async def test_never_means_never(tmp_path, monkeypatch):
    monkeypatch.setattr(upkeep, "LOOK_SECONDS", 0.0)
    async with open_store(tmp_path, StoreSettings(scrub_seconds=0)) as store:
        await trio.sleep(0.05)

        assert runs_of(store) == []


async def test_one_that_nobody_asked_for_makes_way(tmp_path, monkeypatch):
    monkeypatch.setattr(upkeep, "LOOK_SECONDS", 0.01)
    settings = StoreSettings(scrub_seconds=1000, scrub_bytes_per_second=1)  # would take days

    async with open_store(tmp_path, settings) as store:
        await until(lambda: any(run.ended_at for run in runs_of(store)))  # of an empty store
        await prepare(store)
        await push(store, CONTENT)
        began = store.now()
        store.now = lambda: began + 1001
        await until(lambda: any(not run.ended_at for run in runs_of(store)))

        with trio.fail_after(10):
            await scrub(store)

        newest, before = runs_of(store)[:2]
        assert (newest.is_asked, newest.error) == (True, "")
        assert (before.is_asked, before.error) == (False, scrubber.MADE_WAY)


@pytest.mark.parametrize(
    ("size", "rate", "seconds", "rest"),
    [(100, 0, 1.0, 0.0), (100, 50, 0.5, 1.5), (100, 50, 3.0, 0.0), (0, 50, 0.0, 0.0)],
)
def test_the_rest_makes_up_for_what_was_too_quick(size, rate, seconds, rest):
    assert pause(size, rate, seconds) == rest


async def test_the_rate_is_kept_over_all_bytes(store, monkeypatch):
    await push(store, noise(2 << 20))
    monkeypatch.setattr(rehash, "STEP", 256 * KIB)
    pauses: list[tuple[int, float]] = []

    def note(size: int, rate: int, seconds: float) -> float:
        pauses.append((size, pause(size, rate, seconds) + seconds))
        return 0.0

    monkeypatch.setattr(scrubber, "pause", note)
    report = await scrub(store, rate=1 << 20)

    assert sum(size for size, _ in pauses) == report.bytes >= 2 << 20
    assert len(pauses) >= 8  # no burst of more than a step and a chunk
    assert max(size for size, _ in pauses) <= 256 * KIB
    assert sum(seconds for _, seconds in pauses) >= report.bytes / (1 << 20)


# --- against collection ---


@pytest.mark.slow
async def test_scrub_finds_nothing_false_while_packs_are_rewritten_and_unlinked(tmp_path, caplog):
    scrubs = collections = 0
    async with open_store(tmp_path, AT_ONCE) as store:
        await prepare(store)
        keep = await push(store, noise(400 * KIB, "kept"))
        await tag(store, keep)

        async def scrub_on() -> None:
            nonlocal scrubs
            while True:
                report = await scrub(store)
                assert (report.found, report.standing) == (0, 0)
                scrubs += 1

        async def push_and_collect() -> None:
            nonlocal collections
            for number in range(1_000_000):
                await push_idle(store, noise(300 * KIB, number) + noise(400 * KIB, "kept"))
                collections += (await collect(store)).packs

        with trio.move_on_after(6):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(scrub_on)
                nursery.start_soon(push_and_collect)
        assert scrubs > 5
        assert collections > 5
        assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
        assert pull(store, keep) == noise(400 * KIB, "kept")
        await assert_clean(store)


def test_the_report_is_what_the_wire_carries():
    from cas.remote import wire

    report = Scrubbed(packs=1, damaged=("pack 1: needed by nothing",), is_resumed=True)

    assert wire.told(wire.named(report)) == report
