import errno
import os
from pathlib import Path

import pytest

from cas import layout, packs
from cas.errors import Busy, Damaged
from cas.packs import InlineBlob, PackBlob, Packs
from index.errors import IndexFailed
from index.records import Extent
from tests.anomaly import replaced
from tests.cas.pushing import files, noise


def no_chunks(pack, start, stop):
    return []


@pytest.fixture
def root(tmp_path):
    for folder in (layout.PACKS, layout.UPLOADS):
        (tmp_path / folder).mkdir()
    for pack in range(1, 6):
        layout.pack_path(tmp_path, pack).write_bytes(noise(1000, pack))
    return tmp_path


def failing(code: int):
    def wrap(name, call):
        def fail(*args, **kwargs):
            raise OSError(code, os.strerror(code))

        return fail

    return wrap


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - of a folder that is no path


def blob_of(held: Packs, *runs: tuple[int, int, int]) -> PackBlob:
    """A held blob of runs (pack, offset, length)."""
    placed, start = [], 0
    for run in runs:
        placed.append((start, Extent(*run)))
        start += run[2]
    blob = PackBlob(held, start, placed)
    assert blob.hold() == []
    return blob


def test_a_blob_is_its_runs_one_after_the_other(root):
    held = Packs(root, no_chunks)
    held.hold(1)
    held.hold(2)
    whole = noise(1000, 1)[100:200] + noise(1000, 2)[:50] + noise(1000, 1)[:10]

    with blob_of(held, (1, 100, 100), (2, 0, 50), (1, 0, 10)) as blob:
        assert blob.extents == 3
        for start in range(0, 161, 7):
            for stop in range(start, 170, 11):
                assert blob.read(start, stop) == whole[start:stop]


def test_a_pack_that_is_not_open_is_asked_for_and_nothing_is_held(root):
    held = Packs(root, no_chunks)
    descriptor = held.hold(1)

    missing = PackBlob(held, 20, [(0, Extent(1, 0, 10)), (10, Extent(2, 0, 10))]).hold()

    assert missing == [2]
    assert descriptor.users == 1


def test_a_missing_file_is_none(root):
    assert Packs(root, no_chunks).hold(99) is None


@pytest.mark.parametrize(("code", "error"), [(errno.EMFILE, Busy), (errno.EIO, Damaged)])
def test_a_file_that_cannot_be_opened_has_a_name(root, code, error):
    held = Packs(root, no_chunks)

    with replaced(("open",), failing(code)), pytest.raises(error):
        held.hold(1)


def test_bytes_beyond_the_end_of_a_pack_are_lost(root):
    held = Packs(root, no_chunks)
    held.hold(1)

    with blob_of(held, (1, 990, 20)) as blob, pytest.raises(Damaged, match="bytes are lost"):
        blob.read(0, 20)


def test_bytes_that_cannot_be_read_are_damaged(root):
    held = Packs(root, no_chunks)
    held.hold(1)

    with (
        blob_of(held, (1, 0, 20)) as blob,
        replaced(("pread",), failing(errno.EIO)),
        pytest.raises(Damaged),
    ):
        blob.read(0, 20)


def test_short_reads_are_continued(root):
    held = Packs(root, no_chunks)
    held.hold(1)

    def wrap(name, call):
        return lambda descriptor, length, offset: call(descriptor, min(length, 7), offset)

    with blob_of(held, (1, 0, 100)) as blob, replaced(("pread",), wrap):
        assert blob.read(0, 100) == noise(1000, 1)[:100]


def test_a_held_blob_outlives_its_file(root):
    held = Packs(root, no_chunks)
    held.hold(1)

    with blob_of(held, (1, 0, 1000)) as blob:
        layout.pack_path(root, 1).unlink()
        held.close()

        assert blob.read(0, 1000) == noise(1000, 1)


def test_the_least_recently_used_idle_descriptor_is_closed_first(root, monkeypatch):
    monkeypatch.setattr(packs, "MAX_IDLE", 2)
    held = Packs(root, no_chunks)
    for pack in (1, 2):
        held.release(held.hold(pack))
    held.held(1)

    held.release(held.hold(3))

    assert [held.held(pack) is not None for pack in (1, 2, 3)] == [True, False, True]


def test_what_a_reader_holds_is_not_closed(root, monkeypatch):
    monkeypatch.setattr(packs, "MAX_IDLE", 1)
    held = Packs(root, no_chunks)
    descriptors = [held.hold(pack) for pack in range(1, 6)]

    assert all(held.held(pack) for pack in range(1, 6))
    for descriptor in descriptors:
        held.release(descriptor)
    assert sum(held.held(pack) is not None for pack in range(1, 6)) == 1


def test_after_the_end_the_last_reader_closes_the_file(root):
    held = Packs(root, no_chunks)
    before = open_files()
    descriptor = held.hold(1)
    blob = blob_of(held, (1, 0, 10))
    held.release(descriptor)

    held.close()
    assert open_files() == before + 1
    blob.close()
    blob.close()

    assert open_files() == before


def test_an_inline_blob_reads_like_any_other():
    with InlineBlob(b"abcdef") as blob:
        assert blob.read(1, 3) == b"bc"
        assert blob.read(5, 100) == b"f"
        assert (blob.size, blob.extents) == (6, 0)


# --- whole files ---


SESSION = f"{0xABC:016x}" + "0" * 48


@pytest.fixture
def staged(root):
    path = layout.upload_path(root, SESSION)
    path.write_bytes(b"bytes")
    return path


def test_adoption_gives_a_second_name_between_the_syncs_of_both(root, staged):
    synced = []
    pack = layout.pack_path(root, 0xABC)

    def wrap(name, call):
        def sync(descriptor):
            folder = Path(f"/proc/self/fd/{descriptor}").readlink()
            synced.append((folder.name, pack.exists()))
            return call(descriptor)

        return sync

    with replaced(("fsync",), wrap):
        packs.adopt(root, SESSION, 0xABC)

    assert pack.samefile(staged)
    assert synced == [("uploads", False), ("packs", True)]


def test_a_second_name_that_is_there_already_is_synced_again(root, staged):
    layout.pack_path(root, 0xABC).hardlink_to(staged)
    synced = []

    with replaced(("fsync",), lambda name, call: lambda fd: (synced.append(fd), call(fd))[1]):
        packs.adopt(root, SESSION, 0xABC)

    assert len(synced) == 2


def test_a_second_name_that_could_not_be_synced_is_the_end(root, staged):
    with replaced(("fsync",), failing(errno.EIO)), pytest.raises(IndexFailed):
        packs.adopt(root, SESSION, 0xABC)


def test_without_a_descriptor_to_sync_with_there_is_no_second_name(root, staged):
    before = files(root / layout.PACKS)

    with replaced(("open",), failing(errno.EMFILE)), pytest.raises(OSError, match="open files"):
        packs.adopt(root, SESSION, 0xABC)

    assert files(root / layout.PACKS) == before


def test_only_whole_pages_that_nothing_uses_are_freed(root, monkeypatch):
    punched = []
    monkeypatch.setattr(packs, "punch_hole", lambda fd, *run: punched.append(run))
    used = [(0, 5000), (20_000, 100), (20_100, 10), (41_000, 9000)]

    assert packs.punch(root, 1, packs.gaps_between(used, 60_000))

    assert punched == [(8192, 8192), (20_480, 20_480), (53_248, 4096)]


def test_a_punched_pack_is_read_only_and_keeps_its_bytes_and_length(root):
    path = layout.pack_path(root, 9)
    content = noise(100_000)
    path.write_bytes(content)

    assert packs.punch(root, 9, packs.gaps_between([(10_000, 20_000)], 100_000))

    after = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o400
    assert after[10_000:30_000] == content[10_000:30_000]
    assert len(after) == 100_000
    assert after[40_960:98_304] == bytes(57_344)
