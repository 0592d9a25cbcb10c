"""Repair mends whatever fsck names, keeps what was pushed, and may be killed at any moment."""

import os
import shutil
import signal
import subprocess
import sys
from functools import partial

import pytest
import trio
from hypothesis import Phase, given, settings, strategies as st

from cas import layout
from cas.checks import fsck, repair as module
from cas.checks.repair import repair
from cas.digest import Digest
from cas.errors import Damaged
from cas.local import open_store
from frontend.repairing import describe
from index import keys
from index.environment import Environment, open_environment
from index.errors import DirectoryHeld
from index.lock import hold_directory
from index.placement import ROWS
from index.records import GarbageKind, Pack, PackState
from index.transaction import Transaction
from tests.cas import damaged_names, damaged_places
from tests.cas.damage import BIG, LOST, MENDABLE, dump, first, linked, plant, populate, served
from tests.cas.pushing import drift, files, noise, pull, push

EVERYTHING = [*MENDABLE, *damaged_names.MENDABLE, *damaged_places.MENDABLE]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A populated data directory, and what it serves."""

    async def make():
        await populate(root)
        async with open_store(root) as store:
            return served(store)

    root = tmp_path_factory.mktemp("template") / "data"
    return root, trio.run(make)


@pytest.fixture
def root(template, tmp_path):
    """A copy of it, that nobody serves."""
    shutil.copytree(template[0], tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def before(template):
    return template[1]


def found(root) -> list[str]:
    with open_environment(root / layout.INDEX) as environment:
        return fsck.run(environment, root).drift


async def assert_whole(root, before) -> None:
    async with open_store(root) as store:
        assert await drift(store) == []
        assert served(store) == before
        assert pull(store, await push(store, noise(90_000, "new"))) == noise(90_000, "new")
        assert await drift(store) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [pytest.param(*rest, id=name) for name, *rest in EVERYTHING],
)
async def test_damage_is_named_and_mended_and_nothing_that_was_pushed_goes(
    root, before, change, sentence
):
    plant(root, change)
    assert any(sentence in each for each in found(root))

    done = await repair(root, describe)

    assert done.mended
    assert done.left == []
    await assert_whole(root, before)


@pytest.mark.parametrize(
    ("change", "sentence"), [pytest.param(*rest, id=name) for name, *rest in LOST]
)
async def test_what_stands_on_lost_bytes_stays_and_is_told_by_name(root, before, change, sentence):
    plant(root, change)
    assert any(sentence in each for each in found(root))

    done = await repair(root, describe)
    again = await repair(root, describe)

    assert any("it hurts local/images/" in each for each in done.left)
    assert (again.mended, again.left) == ([], done.left)
    rows = dump(root)
    async with open_store(root) as store:
        assert sorted(await drift(store)) == sorted(done.left)
        assert store.read(lambda view: list(view.scan("tag"))) == rows["tag"]
        assert served(store).items() <= before.items()


@pytest.mark.parametrize("keep", [0, 70_000, None], ids=["empty", "short", "missing"])
async def test_a_pack_that_lost_bytes_hurts_what_stands_on_them_and_nothing_else(
    root, before, keep
):
    path = max((root / layout.PACKS).iterdir(), key=lambda each: each.stat().st_size)
    path.chmod(0o600)
    path.unlink() if keep is None else os.truncate(path, keep)

    done = await repair(root, describe)

    (lost,) = [each for each in done.left if "bytes are lost" in each]
    assert path.name in lost
    assert "it hurts local/images/a:all, local/images/a:latest, local/images/a:v1" in lost
    async with open_store(root) as store:
        kept = served(store)
        assert before.keys() - kept.keys() == {str(Digest.of(BIG))}  # its link is there
        assert kept.items() <= before.items()


async def test_a_clean_store_is_not_changed(root):
    before = dump(root), files(root), files(root / layout.PACKS)

    done = await repair(root, describe)

    assert (done.mended, done.left) == ([], [])
    assert (dump(root), files(root), files(root / layout.PACKS)) == before


async def test_files_that_nothing_knows_are_kept_elsewhere(root, before):
    strangers = {
        root / layout.PACKS / "00000000000000aa": b"a pack",
        root / layout.PACKS / "notes.txt": b"notes",
        root / layout.UPLOADS / "notes.txt": b"more notes",
        root / layout.UPLOADS / ("AB" * 32): b"no upload of ours",
    }
    for path, content in strangers.items():
        path.write_bytes(content)
    (root / layout.PACKS / "00000000000000bb.rewrite").write_bytes(b"a copy")

    assert len(found(root)) == 4
    done = await repair(root, describe)

    assert len(done.mended) == 4
    kept = sorted(path.read_bytes() for path in (root / layout.LOST).iterdir())
    assert kept == sorted(strangers.values())
    await assert_whole(root, before)


def test_what_collection_is_about_is_no_drift(root):
    def change(transaction):
        digest, _ = first(transaction, "object")
        image = first(transaction, "image_by_id")[0]
        transaction.put("pack", keys.u64(7), Pack(PackState.DEAD, 9, 0).encode())
        transaction.put("garbage", keys.garbage(0, GarbageKind.PACK, keys.u64(7)))
        transaction.put("garbage", keys.garbage(9, GarbageKind.MANIFEST, image + digest))

    plant(root, change)

    assert found(root) == []


# --- many at once ---


DERIVED = (
    "link_by_digest", "edge_by_child", "tag_by_digest", "image_by_id", "repository_by_id",
    "referrer", "usage", "garbage", "chunk_at", "object", "tag", "pack",
)  # fmt: skip


damages = st.lists(
    # a row by its number, and the bits of its value to change: without any it goes
    st.tuples(st.integers(0, 1 << 20), st.lists(st.integers(0, 1 << 10), max_size=3)),
    min_size=1,
    max_size=12,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, phases=[Phase.generate])
@given(damages)
def test_any_rows_that_are_derived_may_go_or_change_at_once(template, tmp_path_factory, chosen):
    root = tmp_path_factory.mktemp("random") / "data"
    shutil.copytree(template[0], root)

    async def check():
        await repair(root, describe)
        async with open_store(root) as store:
            assert await drift(store) == []
            assert linked(served(store)) == linked(template[1])

    try:
        plant(root, partial(_damage, chosen))
        trio.run(check)
    finally:
        shutil.rmtree(root)


def _damage(chosen, transaction) -> None:
    rows = [(table, key) for table in DERIVED for key, _ in transaction.scan(table)]
    for number, bits in chosen:
        table, key = rows[number % len(rows)]
        value = transaction.get(table, key)
        if value and bits:
            transaction.put(table, key, _flipped(value, bits))
        else:
            transaction.delete(table, key)


def _flipped(value: bytes, bits: list[int]) -> bytes:
    changed = bytearray(value)
    for bit in bits:
        changed[bit // 8 % len(value)] ^= 1 << bit % 8
    return bytes(changed)


# --- killed, refused ---


def _many(transaction) -> None:
    """Damage in every table, enough for several transactions."""
    for name, change, _ in MENDABLE:
        if name in TOGETHER:
            change(transaction)


TOGETHER = {
    "a link counts too much",
    "an object went",
    "a garbage row waits for nothing",
    "a reverse row has no edge",
    "a tag has no reverse row",
    "a manifest went",
    "an image counts too much",
    "usage went",
    "a chunk went",
    "the active pack went",
    "a live object is being built",
}


async def test_a_repair_that_ended_at_any_transaction_is_run_again(
    template, before, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "GROUP", 1)
    written, number, lasts = [], 0, True

    def write(self, run):
        if len(written) == number:
            raise KeyboardInterrupt
        original(self, run)
        written.append(run)

    original = Environment.write
    while lasts:
        root = tmp_path / str(number)
        shutil.copytree(template[0], root)
        plant(root, _many)
        written.clear()
        with monkeypatch.context() as patched:
            patched.setattr(Environment, "write", write)
            try:
                await repair(root, describe)
            except KeyboardInterrupt:
                assert len(written) == number
            else:
                lasts = False
        assert (await repair(root, describe)).left == []
        await assert_whole(root, before)
        shutil.rmtree(root)
        number += 3

    assert number > len(TOGETHER)


KILLED = """
import os, signal, sys
from pathlib import Path
import trio
from cas.checks import repair as module
from frontend.repairing import describe
from index.environment import Environment

module.GROUP = 1
original, left = Environment.write, int(sys.argv[2])

def write(self, run):
    global left
    original(self, lambda t: (run(t), None if left else os.kill(os.getpid(), signal.SIGKILL)))
    left -= 1

Environment.write = write
trio.run(module.repair, Path(sys.argv[1]), describe)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 5, 9])
async def test_a_repair_that_is_killed_is_run_again(root, before, number):
    plant(root, _many)

    ended = subprocess.run([sys.executable, "-c", KILLED, str(root), str(number)], check=False)  # noqa: ASYNC221, S603 - ours

    assert ended.returncode == -signal.SIGKILL
    assert found(root)
    assert (await repair(root, describe)).left == []
    await assert_whole(root, before)


@pytest.fixture
def rows_written(monkeypatch):
    """How many rows each transaction of `Environment.write` changes."""
    counts = []

    def write(self, run):
        counts.append(0)
        original(self, run)

    def counted(name):
        call = getattr(Transaction, name)

        def count(self, *args):
            if counts:
                counts[-1] += 1
            return call(self, *args)

        return count

    original = Environment.write
    monkeypatch.setattr(Environment, "write", write)
    for name in ("put", "delete"):
        monkeypatch.setattr(Transaction, name, counted(name))
    return counts


async def test_no_transaction_changes_more_rows_than_a_slice(root, before, rows_written):
    def change(transaction):
        for key, _ in list(transaction.scan("link_by_digest")):
            transaction.delete("link_by_digest", key)
        for number in range(2000):
            transaction.put("inline", keys.u64(1 << 40 | number), b"nobody's")

    plant(root, change)
    rows_written.clear()

    assert (await repair(root, describe)).left == []

    assert max(rows_written) <= ROWS
    assert sum(rows_written) > 2000
    await assert_whole(root, before)


async def test_a_directory_that_is_held_is_refused(root):
    with hold_directory(root), pytest.raises(DirectoryHeld, match=f"process {os.getpid()}"):
        await repair(root)


async def test_without_an_index_there_is_nothing_to_repair(tmp_path):
    with pytest.raises(Damaged, match="orlop restore"):
        await repair(tmp_path)

    assert files(tmp_path) == []


async def test_packs_without_their_index_are_left_alone(root):
    (root / layout.INDEX / "data.mdb").unlink()
    with open_environment(root / layout.INDEX):
        pass

    with pytest.raises(Damaged, match="put it back first"):
        await repair(root)

    assert not (root / layout.LOST).exists()
