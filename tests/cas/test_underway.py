"""Uploads of which only the file is left are told of too, and there is an end to the list."""

import os
import time

import trio

from cas.local import open_store
from cas.uploads.underway import MOST, UnderWay, resting_in, under_way
from tests.cas.pushing import IMAGE, fill, prepare


async def test_after_a_restart_size_and_time_are_known(tmp_path):
    async with open_store(tmp_path) as store:
        await prepare(store)
        upload = await fill(store, b"x" * 5000)
    hour_ago = time.time() - 3600
    os.utime(tmp_path / "uploads" / upload.id, (hour_ago, hour_ago))

    async with open_store(tmp_path) as store:
        (resting,) = await store.under_way()
        await store.stage(upload.owner, session=upload.id)
        (found,) = await store.under_way()

    assert (resting.image, resting.principal, resting.size) == ("", "", 5000)
    assert 3600 <= resting.idle_seconds < 3700
    assert (found.image, found.size) == (str(IMAGE), 5000)


def test_the_list_has_an_end_and_begins_with_what_grew_last():
    resting = [UnderWay("", "", "", 0, float(number)) for number in reversed(range(2 * MOST))]

    found = under_way([], resting)

    assert [each.idle_seconds for each in found] == list(range(MOST))


def test_only_files_that_are_there_are_uploads(tmp_path, monkeypatch):
    for name in ("gone", "here", "known"):
        (tmp_path / name).write_bytes(b"abc")
    (tmp_path / "folder").mkdir()
    scan = os.scandir

    class Scan:
        def __enter__(self):
            self.entries = [*scan(tmp_path)]
            (tmp_path / "gone").unlink()
            return self.entries

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", lambda _: Scan())

    assert [each.size for each in resting_in(tmp_path, {"known"})] == [3]


async def test_there_is_nothing_in_a_new_store(tmp_path):
    async with open_store(tmp_path) as store:
        await trio.lowlevel.checkpoint()
        assert await store.under_way() == []
