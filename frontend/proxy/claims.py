"""Claims: of all processes one at a time does the same thing. The daemon arbitrates by name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from cas.errors import CasError, StorageFull, UploadOrphaned, UploadUnknown
from cas.verbs import Owner, Store, Upload

END_SECONDS: Final = 5.0  # to give a claim back although the task was cancelled


@asynccontextmanager
async def claim(store: Store, name: str) -> AsyncIterator[bool]:
    """Hold the claim `name` for a block. True: at once; False: after somebody else had it.

    Whoever gets it after another looks first whether that one has done the work. On a full disk
    there are no claims: then several may do the same, which is better than that nobody does.

    Raises:
        DaemonAway
    """
    try:
        upload, is_first = await _hold(store, name)
    except StorageFull:
        yield True
        return
    try:
        yield is_first
    finally:
        with trio.move_on_after(END_SECONDS, shield=True), suppress(CasError):
            await upload.cancel()  # or the daemon, which was told of it, is away: so is the claim


async def _hold(store: Store, name: str) -> tuple[Upload, bool]:
    is_first = True
    while True:
        upload, is_ours = await store.stage(Owner.of_key(name, "sha256"), key=name)
        if is_ours:
            return upload, is_first
        is_first = False
        with suppress(UploadUnknown, UploadOrphaned):  # how another's end is told
            await store.wait_grown(upload, upload.size)
