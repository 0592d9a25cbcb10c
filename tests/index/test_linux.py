"""`index.linux`: the system calls that `os` lacks."""

import errno
import os

import pytest

from index.linux import cached_pages, punch_hole, reserve, start_writeback


@pytest.fixture
def file(tmp_path):
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def test_reserving_takes_blocks_and_keeps_the_length(file):
    os.write(file, b"x")

    reserve(file, 1 << 20)

    assert os.fstat(file).st_size == 1
    assert os.fstat(file).st_blocks * 512 >= 1 << 20


def test_a_punched_range_reads_as_zeros_and_gives_its_blocks_back(file):
    os.write(file, b"x" * (1 << 20))
    os.fsync(file)
    before = os.fstat(file).st_blocks

    punch_hole(file, 4096, 1 << 19)

    assert os.fstat(file).st_size == 1 << 20
    assert os.fstat(file).st_blocks < before
    assert os.pread(file, 3, 4095) == b"x\0\0"
    assert os.pread(file, 2, 4095 + (1 << 19)) == b"\0x"


def test_writeback_of_a_range_can_be_begun(file):
    os.write(file, b"x" * 8192)

    start_writeback(file, 0, 8192)

    assert os.pread(file, 8192, 0) == b"x" * 8192


def test_pages_in_memory_are_counted(file):
    os.write(file, b"x" * (10 << 12))

    try:
        assert cached_pages(file, 1 << 12, 20 << 12) == 9
    except OSError as error:
        assert error.errno == errno.ENOSYS  # a kernel before 6.5


@pytest.mark.parametrize(
    "call",
    [lambda: reserve(-1, 1), lambda: punch_hole(-1, 0, 1), lambda: start_writeback(-1, 0, 1)],
)
def test_a_refusal_is_an_oserror_with_its_number(call):
    with pytest.raises(OSError, match="Bad file descriptor") as refused:
        call()

    assert refused.value.errno == errno.EBADF


def test_punching_nothing_is_refused(file):
    with pytest.raises(OSError, match="Invalid argument"):
        punch_hole(file, 0, 0)
