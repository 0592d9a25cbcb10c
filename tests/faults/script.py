"""The script as a process: push, pull, delete and collect, and say what was acknowledged.

    python -m tests.faults.script DIRECTORY [repeatable]

A repeatable run makes the same calls in the same order as any other: random names come from a seed,
and what worker threads do is done by the main thread, since `strace` counts for each thread. Two
are left: that one, and the writer of the index.

One line a fact, written at once, in one `write` each:

    begin N          step N of `tests.faults.steps` was asked for
    end N            it was acknowledged
    flip PACK OFFSET the disk changes this byte now
    refused N NAME   it was answered with this error, and the store goes on
    stopped NAME     the store cannot go on, or did not start: the process ends with code 3
"""

import mmap
import os
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import trio

from cas import layout
from cas.errors import BlobUnknown, CasError, StorageFull, StoreFailed
from cas.local import StoreSettings, open_store
from cas.uploads import ingest
from cas.verbs import Adopt, Owner, Store
from index.changes import (
    EdgeKind,
    ImageName,
    Link,
    PutManifest,
    PutObject,
    SetTag,
    Unlink,
)
from index.errors import IndexFailed, IndexFault
from index.expectations import Expectation, Linked
from index.records import Manifest
from tests.cas.damaging import place_of, scrub
from tests.cas.pushing import REPOSITORY, fill, has, prepare, pull
from tests.crash.pusher import say, shrink
from tests.faults import collecting
from tests.faults.steps import (
    STEPS,
    Blob,
    CollectAll,
    Delete,
    Mount,
    Push,
    Put,
    ScrubAll,
    Spoil,
    Step,
    Untag,
)

STOPPED = 3  # the exit code of a store that ended in order, after saying so
AT_ONCE = StoreSettings(grace_seconds=0, lease_seconds=0)


async def perform(store: Store, step: Step) -> None:
    """Do one step; whatever leaves says that it was not acknowledged."""
    match step:
        case Push(image, blob):
            owner = Owner(_name(image), "admin")
            upload = await fill(store, blob.content, owner)
            adopt = Adopt(upload.id, blob.digest, owner)
            await store.commit([adopt, Link(owner.image, blob.digest.key)])  # without a lease
            if pull(store, blob.digest) != blob.content:
                sys.exit("another content was pulled than was pushed")
        case CollectAll():
            await collecting.collect(store)
        case Spoil(blob):
            spoil(store, blob)
        case ScrubAll():
            await scrub(store)
        case _:
            await store.commit(*_changes(step))


def spoil(store: Store, blob: Blob) -> None:
    """Flip a byte on the disk by a way that no fault can hit, and have memory forget it.

    Raises:
        BlobUnknown: its push was refused.
    """
    if not has(store, blob.digest):
        raise BlobUnknown(blob.digest)
    pack, offset = place_of(store, blob.digest, blob.size // 2)
    say("flip", f"{pack:016x}", offset)
    with layout.pack_path(store.packs.root, pack).open("r+b", buffering=0) as file:
        with mmap.mmap(file.fileno(), 0) as content:
            content[offset] ^= 1
            content.flush()
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _changes(step: Mount | Put | Untag | Delete) -> tuple[Sequence, Sequence[Expectation]]:
    image = _name(step.image)
    match step:
        case Mount(_, source, blob):
            key = blob.digest.key
            return [Link(image, key)], [Linked(_name(source), key)]
        case Put(_, tag, manifest):
            key = manifest.digest.key
            record = Manifest(media_type="text/plain", size=len(manifest.content))
            children = [each.digest.key for each in manifest.needs]
            edges = tuple((child, EdgeKind.LAYER) for child in children)
            changes = [
                PutObject(key, manifest.content),
                Link(image, key),
                PutManifest(image, key, record, edges),
                SetTag(image, tag, key),
            ]
            return changes, [Linked(image, child) for child in children]
        case Untag(_, tag):
            return [SetTag(image, tag, None)], []
        case Delete(_, manifest):
            return [Unlink(image, manifest.digest.key)], []


def _name(image: str) -> ImageName:
    return ImageName(REPOSITORY, image)


class _TakenAtOnce(ingest.Relay):
    """Where one thread does the work of two, one after the other."""

    def give(self, data: memoryview) -> None:
        self._take(data)

    def wait_taken(self) -> bool:
        return True

    def take_all(self) -> None:
        pass


async def run(store: Store) -> int:
    """All steps; one that is refused is left out, and so are those that then cannot be done.

    Returns the exit code.
    """
    try:
        await prepare(store)
    except StorageFull as full:  # and no step has anything to go on
        say("stopped", type(full).__name__)
        return STOPPED
    for number, step in enumerate(STEPS):
        say("begin", number)
        try:
            await perform(store, step)
        except (StoreFailed, IndexFailed):
            raise
        except (CasError, IndexFault) as error:
            say("refused", number, type(error).__name__)
        else:
            say("end", number)
    return 0


async def _run_here(run: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
    await trio.lowlevel.checkpoint()
    return run(*arguments)


def repeat() -> None:
    """Let nothing depend on the scheduler or on chance."""
    trio.to_thread.run_sync = _run_here
    ingest.Relay = _TakenAtOnce
    os.urandom = random.Random(1).randbytes  # noqa: S311 - that is what it is for


async def main(directory: str, way: str = "as it is") -> int:
    shrink()
    if way == "repeatable":
        repeat()
    async with open_store(Path(directory), AT_ONCE) as store:
        return await run(store)


if __name__ == "__main__":
    try:
        sys.exit(trio.run(main, *sys.argv[1:]))
    except (CasError, IndexFault, OSError) as stopped:
        # `orlop serve` answers these with a line, too. An OSError can only come from the start.
        say("stopped", type(stopped).__name__)
        sys.exit(STOPPED)
