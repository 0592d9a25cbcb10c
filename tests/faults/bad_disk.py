"""A disk that goes bad: bytes of packs change on it, and memory never had the wrong ones.

Past the page cache (O_DIRECT): who has the right bytes in memory keeps them until the kernel
drops them here, and only who reads from the disk meets the wrong ones. A tmpfs has no disk.
"""

import mmap
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cas import layout

SECTOR = 4096  # what O_DIRECT wants on any disk
ACTIVE = 0.2  # of the flips go to the pack that grows
TRIES = 16  # to find bytes between holes


def flip_one(data: Path, dice: random.Random) -> bool:
    """Flip a bit somewhere in a pack of a live data directory; False: there was nothing to flip."""
    packs = sorted(data.joinpath(layout.PACKS).iterdir(), key=_age)
    packs = [path for path in packs if path.name != layout.rewrite_path(data).name]
    if not packs:
        return False
    sealed, active = packs[:-1], packs[-1]  # the one that grows was written to last
    path = active if not sealed or dice.random() < ACTIVE else dice.choice(sealed)
    try:
        with _opened(path) as descriptor:
            return any(_flip(descriptor, dice) for _ in range(TRIES))
    except FileNotFoundError:  # collected just now
        return False


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    except PermissionError:  # it is sealed, and we are not root
        path.chmod(0o600)
        descriptor = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        os.fchmod(descriptor, 0o400)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _flip(descriptor: int, dice: random.Random) -> bool:
    sectors = os.fstat(descriptor).st_size // SECTOR
    if not sectors:
        return False
    start = SECTOR * dice.randrange(sectors)
    with mmap.mmap(-1, SECTOR) as buffer:
        os.preadv(descriptor, [buffer], start)
        if not any(buffer[:]):
            return False
        buffer[dice.randrange(SECTOR)] ^= 1 << dice.randrange(8)
        return os.pwritev(descriptor, [buffer], start) == SECTOR
