"""Mending that is broken anywhere leaves the old or the new, and the next push mends."""

import errno
import subprocess
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from cas.digest import Digest
from cas.errors import Damaged, StorageFull
from cas.local import open_store
from tests.anomaly import FailAt, replaced
from tests.cas.damaging import (
    CONTENT,
    SIBLING,
    assert_clean,
    hurt,
    lose,
    place_of,
    scrub,
    until,
)
from tests.cas.pushing import changes_for, drift, fill, prepare, pull, push

ROOT = Path(__file__).parents[2]


class Attempts:
    """Mendings in a directory of its own each time, of which one system call fails."""

    def __init__(self, root: Path, fault: FailAt) -> None:
        self._root = root
        self._fault = fault

    async def mend(self) -> None:
        self.root = self._root / f"{self._fault.number}"
        async with open_store(self.root) as store:
            await prepare(store)
            await push(store, CONTENT)
            await push(store, SIBLING)
            lose(self.root, place_of(store, Digest.of(CONTENT))[0], "flipped")
            await scrub(store)
            upload = await fill(store, CONTENT)
            with self._fault.armed():
                await store.commit(changes_for(upload, Digest.of(CONTENT)))

    async def assert_old_or_new(self) -> None:
        async with open_store(self.root) as store:
            assert await drift(store) == []
            report = await scrub(store)
            assert report.found == 0
            assert report.standing <= 1
            with suppress(Damaged):
                assert pull(store, Digest.of(SIBLING)) == SIBLING
            await assert_mended_by_a_push(store)


async def assert_mended_by_a_push(store) -> None:
    await push(store, CONTENT)
    await until(lambda: not hurt(store))
    assert pull(store, Digest.of(CONTENT)) == CONTENT
    assert pull(store, Digest.of(SIBLING)) == SIBLING
    await assert_clean(store)


async def test_a_mending_of_which_any_call_fails_leaves_the_old_or_the_new(tmp_path):
    fault = FailAt(errno.EIO)
    attempts = Attempts(tmp_path, fault)
    places = set()
    while not fault.is_beyond:
        fault.go_on()
        with suppress(Exception, BaseExceptionGroup):
            await attempts.mend()
        places.add(fault.where)
        await attempts.assert_old_or_new()
    assert places >= {"open", "copy_file_range", "fdatasync"}


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_mending_that_is_killed_at_any_call_leaves_the_old_or_the_new(tmp_path):
    """The kill comes before the call, so a round of each number sees every state in between."""
    places = []
    for number in count(1):
        root = tmp_path / f"{number}"
        command = [sys.executable, "-m", "tests.crash.mender", root, str(number)]
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: ASYNC221, S603 - ours
        async with open_store(root) as store:
            assert await drift(store) == []
            report = await scrub(store)
            assert report.found == 0
            await assert_mended_by_a_push(store)
        if process.returncode == 0:
            break
        assert process.returncode == -9, process.stderr
        places.append(process.stdout.strip())
    assert {"copy_file_range", "fdatasync", "unlink"} <= set(places)
    assert len(places) > 10


async def test_a_full_disk_mends_nothing_and_breaks_nothing(store, tmp_path):
    digest = await push(store, CONTENT)
    lose(tmp_path, place_of(store, digest)[0], "flipped")
    await scrub(store)
    upload = await fill(store, CONTENT)

    def wrap(name, call):
        def fail(*args):
            raise OSError(errno.ENOSPC, "full")

        return fail

    with replaced(("copy_file_range",), wrap), pytest.raises(StorageFull):
        await store.commit(changes_for(upload, digest))

    await push(store, CONTENT)
    assert pull(store, digest) == CONTENT
    await assert_clean(store)
