"""A process that mends a damaged pack and kills itself before the Nth system call of that.

    python -m tests.crash.mender DIRECTORY N

It says the call's name first, and ends with 0 when there were fewer.
"""

import os
import signal
import sys
from pathlib import Path

import trio

from cas.digest import Digest
from cas.local import open_store
from tests.anomaly import SYSTEM_CALLS, replaced
from tests.cas.damaging import CONTENT, SIBLING, lose, place_of, scrub
from tests.cas.pushing import changes_for, fill, prepare, push

CALLS = (*SYSTEM_CALLS, "pwrite", "rename")


async def main(root: Path, number: int) -> None:
    left = number

    def wrap(name, call):
        def count(*args, **kwargs):
            nonlocal left
            left -= 1
            if left == 0:
                os.write(1, name.encode())
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return count

    async with open_store(root) as store:
        await prepare(store)
        digest = await push(store, CONTENT)
        await push(store, SIBLING)
        lose(root, place_of(store, digest)[0], "flipped")
        await scrub(store)
        upload = await fill(store, CONTENT)
        with replaced(CALLS, wrap):
            await store.commit(changes_for(upload, Digest.of(CONTENT)))


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), int(sys.argv[2]))
