"""A file system of a few MiB that a test may fill."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import which

import pytest

MIB = 1 << 20


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a tmpfs of `size` MiB at `folder` for a block; that may only be missing out of CI."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(folder)]
    done = subprocess.run(  # noqa: S603 - our own folder
        [which("mount") or "mount", *options], capture_output=True, text=True, check=False
    )
    if done.returncode:
        assert os.environ.get("CI") != "true", f"no tmpfs may be mounted: {done.stderr}"
        pytest.skip("mounts a tmpfs: run it as root")
    try:
        yield folder
    finally:
        subprocess.run([which("umount") or "umount", str(folder)], check=True)  # noqa: S603


def fill(path: Path) -> None:
    """Take every free page of the disk."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(MIB)):
            pass
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
