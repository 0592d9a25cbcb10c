"""A process that deletes a repository and waits until nothing is left of it, until it is killed.

    python -m tests.crash.remover DIRECTORY

It says `deleted` when the deletion was acknowledged.
"""

import os
import sys
from pathlib import Path

import trio

from cas.local import open_store
from cas.maintenance import clearing
from index.changes import DeleteRepository
from index.repositories import iter_leaving
from tests.cas.pushing import REPOSITORY


async def main(directory: Path) -> None:
    clearing.ROWS = 48  # many steps, so that there are many moments
    async with open_store(directory) as store:
        if store.read(lambda view: view.repository(REPOSITORY)) is not None:
            await store.commit([DeleteRepository(REPOSITORY)])
            os.write(1, b"deleted\n")
        while store.read(lambda view: next(iter_leaving(view), None)) is not None:  # noqa: ASYNC110 - rows have no event
            await trio.sleep(0.01)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
