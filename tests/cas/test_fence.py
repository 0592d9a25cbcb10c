"""What one reader checked is not believed once another may have read in other bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cas import layout
from cas.errors import Damaged
from cas.fence import REGION, SLOTS, Fence, regions_of
from cas.local import open_store
from cas.packs import Packs
from cas.view import read
from tests.anomaly import replaced
from tests.cas.collecting import AT_ONCE, collect, push_idle
from tests.cas.damaging import CONTENT, flip, place_of, resident
from tests.cas.pushing import noise, prepare, pull, push

ROOT = Path(__file__).parents[2]
BACKUP = """
from pathlib import Path
from cas.backup.back_up import back_up
back_up(Path({!r}), Path({!r}))
"""


async def by_another_reader(store, root, digest) -> None:
    """As in another process, where nobody knows what we checked."""
    other = Packs(root, store.packs.chunks)
    with (
        read(store._environment, other, lambda view: view.open(digest)) as blob,
        pytest.raises(Damaged),
    ):
        blob.read(0, blob.size)


async def by_a_backup(store, root, digest) -> None:
    code = BACKUP.format(str(root), str(root.with_name("backup")))
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)  # noqa: ASYNC221, S603 - ours


async def by_a_collection(store, root, digest) -> None:
    assert (await collect(store)).postponed == 1


@pytest.mark.parametrize("reads_in", [by_another_reader, by_a_backup, by_a_collection])
async def test_what_was_checked_is_checked_again_when_others_read_it_in(tmp_path, reads_in):
    root = tmp_path / "data"
    async with open_store(root, AT_ONCE) as store:
        await prepare(store)
        digest = await push(store, CONTENT)
        await push_idle(store, noise(400_000, "garbage"))
        pack, offset = place_of(store, digest)
        with store.read(lambda view: view.open(digest)) as blob:
            assert blob.read(0, blob.size) == CONTENT
            assert blob.peek(0, 4096) == CONTENT[:4096]

            flip(root, pack, offset)  # on the disk, and memory forgets it
            await reads_in(store, root, digest)

            assert resident(root, pack) > 0  # or this would prove nothing
            assert blob.peek(0, 4096) == b""
            with pytest.raises(Damaged):
                blob.read(0, blob.size)


async def test_sound_bytes_that_others_read_in_are_checked_once_more_and_served(store, tmp_path):
    digest = await push(store, CONTENT)
    fence = Fence(tmp_path)
    with store.read(lambda view: view.open(digest)) as blob:
        blob.load(0, blob.size)
        fence.announce(place_of(store, digest)[0], 0, len(CONTENT))

        assert blob.peek(0, 4096) == b""
        blob.load(0, blob.size)
        assert blob.peek(0, 4096) == CONTENT[:4096]


async def test_what_lies_elsewhere_stays_checked(store, tmp_path):
    digest = await push(store, CONTENT)
    pack, _ = place_of(store, digest)
    fence = Fence(tmp_path)
    with store.read(lambda view: view.open(digest)) as blob:
        blob.load(0, blob.size)

        fence.announce(pack, REGION, 2 * REGION)
        fence.announce(pack + 2, 0, REGION)

        assert blob.peek(0, 4096) == CONTENT[:4096]


async def test_bytes_that_are_in_memory_are_checked_without_a_word(store, tmp_path):
    """Or two processes that serve the same bytes would never come to an end."""
    digest = await push(store, CONTENT)
    pack, _ = place_of(store, digest)
    assert pull(store, digest) == CONTENT
    before = Fence(tmp_path).token(pack, 0)

    other = Packs(tmp_path, store.packs.chunks)
    with read(store._environment, other, lambda view: view.open(digest)) as blob:
        assert blob.read(0, blob.size) == CONTENT

    assert Fence(tmp_path).token(pack, 0) == before


@pytest.mark.parametrize(
    ("start", "stop", "regions"),
    [(0, 1, [0]), (0, REGION, [0]), (REGION - 1, REGION + 1, [0, 1]), (REGION, REGION, [])],
)
def test_regions_are_those_that_bytes_lie_in(start, stop, regions):
    assert list(regions_of(start, stop)) == regions


def test_all_who_map_it_see_the_same(tmp_path):
    one, two = Fence(tmp_path), Fence(tmp_path)

    token = one.announce(SLOTS - 1, 0, 2 * REGION)

    assert (two.token(SLOTS - 1, 0), two.token(SLOTS - 1, 1)) == (token, token)
    assert two.announce(SLOTS - 1, 0, 1) != token


def test_a_full_disk_keeps_nobody_from_starting(tmp_path):
    def wrap(name, call):
        def full(*args):
            raise OSError(28, os.strerror(28))

        return full

    with replaced(("pwrite",), wrap):
        fence = Fence(tmp_path)

    assert fence.token(1, 0) != fence.announce(1, 0, 1)
    assert (tmp_path / layout.PACKS_FENCE).stat().st_size == 0
