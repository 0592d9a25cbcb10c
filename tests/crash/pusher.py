"""A process that pushes to a store and says what was acknowledged, until it is killed.

    python -m tests.crash.pusher DIRECTORY sequence|storm SEED

One line a fact, written at once:

    upload SESSION SIZE SEED    the append up to SIZE was acknowledged
    done SIZE SEED              the push was acknowledged
"""

import os
import sys
from pathlib import Path

import trio

from cas import appender, placing
from cas.digest import Digest
from cas.local import open_store
from cas.verbs import Store
from index import placement
from tests.cas.pushing import OWNER, changes_for, noise, prepare

KIB = 1 << 10
SIZES = (10, 70 * KIB, 300 * KIB, 1100 * KIB, 2500 * KIB)
STEP = 512 * KIB


def shrink() -> None:
    """Let small blobs go every way that large ones go."""
    placing.ADOPT_BYTES = 1 << 20
    placement.ROWS = 48
    appender.SEAL_SIZE = 1 << 20


def content_of(size: int, seed: str) -> bytes:
    """What `seed` stands for: half of it is shared by all of this size."""
    return noise(size // 3, "shared") + noise(size - size // 3, seed)


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def push(store: Store, size: int, seed: str) -> None:
    content = content_of(size, seed)
    upload, _ = await store.stage(OWNER)
    say("upload", upload.id, 0, seed)
    for start in range(0, size, STEP):
        held = await upload.append(start, content[start : start + STEP])
        say("upload", upload.id, held, seed)
    await store.commit(changes_for(upload, Digest.of(content)))
    say("done", size, seed)


async def sequence(store: Store, seed: str) -> None:
    for size in (2500 * KIB, 300 * KIB, 10, 1100 * KIB, 70 * KIB):
        await push(store, size, f"{seed}-{size}")


async def storm(store: Store, seed: str) -> None:
    async def push_all(lane: int) -> None:
        for turn in range(1000):
            for size in SIZES[lane:] + SIZES[:lane]:
                await push(store, size, f"{seed}-{lane}-{turn}-{size}")

    async with trio.open_nursery() as nursery:
        for lane in range(3):
            nursery.start_soon(push_all, lane)


async def main(directory: str, way: str, seed: str) -> None:
    shrink()
    async with open_store(Path(directory)) as store:
        await prepare(store)
        await {"sequence": sequence, "storm": storm}[way](store, seed)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
