"""What is in memory, asked without loading it."""

import errno
import os

import pytest

from cas.resident import PAGE, Pages
from tests.cas.pages import drop


def refuse(*_):
    raise OSError(errno.ENOSYS, "not here")


@pytest.fixture(params=["counted", "looked at"])
def file(request, tmp_path, monkeypatch):
    if request.param == "looked at":  # as on a kernel that cannot count
        monkeypatch.setattr("cas.resident.cached_pages", refuse)
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.pwrite(descriptor, b"x" * (10 * PAGE), 0)
    os.fsync(descriptor)
    yield descriptor
    os.close(descriptor)


def test_what_was_just_written_is_in_memory(file):
    pages = Pages(file)

    assert pages.resident_to(5, 9 * PAGE + 7) == 9 * PAGE + 7
    pages.close()


def test_what_was_dropped_is_not_and_asking_does_not_load_it(file):
    half = 512 * PAGE  # the kernel drops no part of what it keeps as one large page
    os.pwrite(file, b"x" * (2 * half), 0)
    pages = Pages(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
    drop(file, half, half)

    assert [pages.resident_to(3, 2 * half) for _ in range(2)] == [half] * 2
    assert pages.resident_to(half + 9, 2 * half) == half + 9
    assert pages.resident_to(3, half) == half


def test_beyond_the_end_and_beyond_the_map_nothing_is(file):
    pages = Pages(file)

    assert pages.resident_to(0, 20 * PAGE) == 10 * PAGE
    assert pages.resident_to(1 << 40, (1 << 40) + 1) == 1 << 40


def test_a_file_that_grows_is_seen_to_grow(file):
    pages = Pages(file)
    os.pwrite(file, b"y" * PAGE, 10 * PAGE)

    assert pages.resident_to(0, 11 * PAGE) == 11 * PAGE


def test_what_cannot_be_mapped_is_never_taken_for_resident():
    reading, writing = os.pipe()
    pages = Pages(reading)

    assert pages.resident_to(0, 1) == 0
    pages.close()
    os.close(reading)
    os.close(writing)


def test_a_closed_one_knows_nothing(file):
    pages = Pages(file)
    pages.close()
    pages.close()

    assert pages.resident_to(0, PAGE) == 0
