import errno
import os
import shutil

import pytest

from cas import appender, layout, packs
from cas.errors import Busy, Damaged
from cas.packs import Packs
from cas.uploads import chunking
from cas.view import MAX_MISSES
from index import keys
from index.records import Extent
from tests.anomaly import counted, replaced
from tests.cas.pushing import GZIP, has, noise, pull, push

CONTENT = noise(200_000)


def only_pack(store, digest) -> int:
    def look(view):
        (extent,) = view.extents(view.object(digest.key).id)
        return extent.pack

    return store.read(look)


async def test_a_pack_is_looked_for_again_after_it_was_opened(store, tmp_path, monkeypatch):
    digest = await push(store, CONTENT)
    old, new = only_pack(store, digest), 0xABC
    original = Packs.hold

    def hold(self, pack):
        if pack == old:
            replace_pack(store, tmp_path, old, new)  # between the first look and the open
        return original(self, pack)

    monkeypatch.setattr(Packs, "hold", hold)

    assert pull(store, digest) == CONTENT


def replace_pack(store, root, old: int, new: int) -> None:
    """Move a pack's bytes to another pack, as a rewrite might; the old file loses them."""
    source, target = (layout.pack_path(root, pack) for pack in (old, new))
    if not target.exists():
        shutil.copy(source, target)
    source.write_bytes(bytes(source.stat().st_size))
    with store._environment.begin() as raw:
        transaction = store._environment.transaction(raw)
        for key, value in list(transaction.scan("extent")):
            moved = Extent.decode(value)._replace(pack=new)
            transaction.put("extent", key, moved.encode())
        transaction.put("pack", keys.u64(new), transaction.pack(old).encode())


async def test_a_missing_pack_file_is_damage_and_names_the_pack(store, tmp_path):
    digest = await push(store, CONTENT)
    pack = only_pack(store, digest)
    layout.pack_path(tmp_path, pack).unlink()

    with counted("open") as counts, pytest.raises(Damaged, match=f"{pack:016x}"):
        pull(store, digest)

    assert counts["open"] == MAX_MISSES
    assert has(store, digest)


async def test_the_second_read_opens_nothing(store):
    digest = await push(store, CONTENT)
    pull(store, digest)

    with counted("open") as counts:
        assert pull(store, digest) == CONTENT

    assert counts["open"] == 0


async def test_without_descriptors_a_read_is_busy(store):
    digest = await push(store, CONTENT)

    def wrap(name, call):
        def fail(*args, **kwargs):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        return fail

    with replaced(("open",), wrap), pytest.raises(Busy):
        pull(store, digest)
    assert pull(store, digest) == CONTENT


async def test_a_blob_may_need_more_packs_than_stay_open(store, monkeypatch):
    monkeypatch.setattr(chunking, "OPAQUE_CHUNK", 100_000)
    monkeypatch.setattr(appender, "SEAL_SIZE", 1)
    parts = [GZIP + noise(99_996, seed) for seed in range(12)]
    for part in parts:
        await push(store, part)
    digest = await push(store, b"".join(parts))
    store._packs._idle = 2

    with store.read(lambda view: view.open(digest)) as blob:
        assert blob.extents == len(parts)
        assert blob.read(0, blob.size) == b"".join(parts)

    assert sum(store._packs.held(e) is not None for e in list(store._packs._open)) <= 2


async def test_a_look_that_fails_lets_go_of_what_it_opened(store, tmp_path):
    digest = await push(store, CONTENT)
    pull(store, digest)
    pack = only_pack(store, digest)

    def look(view):
        view.open(digest)
        raise LookupError

    with pytest.raises(LookupError):
        store.read(look)

    assert store._packs.held(pack).users == 0


def test_hundreds_of_descriptors_stay_open_for_the_next_reader():
    assert packs.MAX_IDLE >= 256


@pytest.mark.parametrize("position", [0, 1, 0.5, -1])
async def test_a_range_of_a_fragmented_blob_costs_what_it_covers(store, position):
    pieces = [noise(chunking.MIN_CHUNK, f"piece {number}") for number in range(8)]
    content = b"".join(piece + bytes(4 * chunking.MAX_CHUNK) for piece in pieces)  # zeros repeat
    digest = await push(store, content)
    everything = store.read(lambda view: view.extents(view.object(digest.key).id))
    assert len(everything) > 10
    middle = int(len(content) * position) % len(content)
    steps = []

    def look(view):
        blob = view.open(digest, middle, middle + 1)
        steps.append(view.steps)
        return blob

    with store.read(look) as blob:
        assert blob.extents <= 2
        assert blob.read(middle, middle + 1) == content[middle : middle + 1]
        assert blob.size == len(content)
    assert steps[-1] <= 6
