"""A process that pulls whatever there is, as a worker does, while another collects.

    python -m tests.crash.reader DIRECTORY SECONDS SEED two|one

Prints one line of JSON: reads, gone (deleted between list and open), wrong (a sentence each), and
the most looks that one read took beyond the first.
`one` leaves the second look away: what was looked up before a pack was opened is believed.
"""

import json
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

import trio

from cas import packs, view
from cas.digest import Digest
from cas.errors import BlobUnknown, Damaged
from cas.remote.client import connect_store
from cas.sockets import DAEMON_SOCKET
from index.changes import INLINE_LIMIT
from index.records import Object

packs.MAX_IDLE = 2  # packs are opened again and again
MAX_TOLD = 5
SLOWNESS = 0.05  # seconds at most between a look and the opening of a pack, on a busy machine


look_again = view._hold


class _Slow(packs.Packs):
    """Opens packs late: whatever may happen between a look and that, happens."""

    def hold(self, pack):
        time.sleep(SLOWNESS * random.random())  # noqa: S311 - a test's
        return super().hold(pack)


class _Believing(view.LocalView):
    """A view that opens packs after its look, and looks no more."""

    __slots__ = ()

    def open(self, digest, start=0, stop=None):
        held = []
        try:
            while True:
                try:
                    return super().open(digest, start, stop)
                except view._PacksNotOpen as wanted:
                    if view._hold(self._packs, wanted.packs, held):
                        raise Damaged("a pack", "the file is missing") from None
        finally:
            for descriptor in held:
                self._packs.release(descriptor)


def in_packs(v) -> list[Digest]:
    """What does not live in the index."""
    rows = ((key, Object.decode(value)) for key, value in v.scan("object"))
    return [Digest(key) for key, row in rows if row.size > INLINE_LIMIT]


class Reader:
    """Pulls, and what came of it."""

    def __init__(self, store) -> None:
        self._store = store
        self._again = Counter()  # read → looks beyond the first
        self._reads = self._gone = 0
        self._wrong = []

    def hold(self, *arguments):
        """`view._hold`, counted: a look follows each."""
        self._again[self._reads + self._gone + len(self._wrong)] += 1
        return look_again(*arguments)

    def pull(self, digest: Digest) -> None:
        try:
            with self._store.read(lambda v: v.open(digest)) as blob:
                content = blob.read(0, blob.size)
        except BlobUnknown:
            self._gone += 1
        except Damaged as error:
            self._wrong.append(f"{digest}: {error}")
        else:
            self._reads += 1
            if Digest.of(content) != digest:
                self._wrong.append(f"{digest}: other bytes")

    def found(self) -> dict:
        return {
            "reads": self._reads,
            "gone": self._gone,
            "wrong": len(self._wrong),
            "first": self._wrong[:MAX_TOLD],
            "again": max(self._again.values(), default=0),
        }


async def main(directory: str, seconds: str, seed: str, looks: str) -> None:
    view.Packs = _Slow
    if looks == "one":
        view.LocalView = _Believing
    dice = random.Random(seed)  # noqa: S311 - a test's
    until = time.monotonic() + float(seconds)
    root = Path(directory)
    async with connect_store(root, root / DAEMON_SOCKET) as store:
        reader = Reader(store)
        view._hold = reader.hold
        while time.monotonic() < until:
            await trio.lowlevel.checkpoint()
            digests = store.read(in_packs)
            for digest in dice.sample(digests, min(4, len(digests))):
                reader.pull(digest)
    os.write(1, json.dumps(reader.found()).encode())


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
