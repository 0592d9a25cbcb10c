"""A worker that pulls one blob through: it fetches, or follows whoever does, and may be killed.

    python -m tests.crash.puller <data directory> <size> <seed> <known> [<spoilt>]

The blob's first `known` bytes are those of another blob. Fetched bytes from `spoilt` on are wrong.
Waits for a line before it fetches. Says `begun owner` or `begun follower`, `got <bytes>` now and
then, and at the end `fetched <bytes>` and either `pulled <digest>`, or `aborted <error> <bytes
passed on>`.
"""

import hashlib
import sys
from contextlib import closing, suppress
from pathlib import Path

import trio

from cas.digest import Digest
from cas.errors import (
    CasError,
    DaemonAway,
    OffsetMismatch,
    UploadOrphaned,
    UploadSealed,
    UploadUnknown,
)
from cas.remote.client import connect_store
from cas.sockets import DAEMON_SOCKET
from cas.verbs import Adopt, Growing, Owner, Store, Upload
from index.changes import ImageName, Link
from tests.cas.pushing import IMAGE, has, noise

PIECE = 256 << 10


def content_of(size: int, seed: str, known: int) -> bytes:
    """The blob that everybody wants."""
    return noise(known, "known") + noise(size - known, seed)


def say(*words: object) -> None:
    """One line to the test."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class Pull:
    """What a front end does about one blob."""

    def __init__(self, store: Store, content: bytes, upstream: bytes) -> None:
        self.store = store
        self.size = len(content)
        self.digest = Digest.of(content)
        self.upstream = upstream
        self.fetched = 0
        self.passed = 0  # bytes on their way to the client
        self.hash = hashlib.sha256()
        self.key = str(self.digest)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            upload, is_owner = await self.store.stage(Owner(IMAGE, "a"), key=self.key)
            growing = upload.open()
            say("begun", "owner" if is_owner else "follower")
            await trio.to_thread.run_sync(sys.stdin.readline)
            if is_owner:
                nursery.start_soon(self.fetch, upload)
            with closing(growing):
                while not await self.follow(growing):
                    stage = self.store.stage
                    try:
                        upload, is_owner = await stage(
                            Owner(ImageName("local/images", "b"), "b"),
                            session=upload.id,
                            key=self.key,
                        )
                    except DaemonAway:
                        await trio.sleep(0.05)
                        continue
                    if is_owner:
                        nursery.start_soon(self.fetch, upload)

    async def follow(self, growing: Growing) -> bool:
        """Pass on what comes; False: somebody has to go on with it."""
        try:
            while self.passed < self.size:
                await growing.wait(self.passed)
                stop = min(growing.size, self.size if growing.is_verified else self.size - 1)
                stop = min(stop, self.passed + PIECE)
                if stop == self.passed:
                    await growing.wait(growing.size)
                    continue
                growing.load(self.passed, stop)
                self.hash.update(growing.read(self.passed, stop))
                self.passed = stop
                say("got", self.passed)
        except (UploadOrphaned, DaemonAway):
            return False
        return True

    async def fetch(self, upload: Upload) -> None:
        try:
            while upload.size < self.size:
                piece = self.upstream[upload.size : upload.size + PIECE]
                self.fetched += len(piece)
                await self.again(upload.append, upload.size, piece)
                await trio.sleep(0.002)
            adopt = Adopt(upload.id, self.digest, upload.owner)
            await self.again(self.store.commit, [adopt, Link(IMAGE, self.digest.key, 3600)])
        except (OffsetMismatch, UploadSealed):  # another was first to go on with it
            with suppress(CasError):
                await upload.leave()
        except UploadUnknown:
            if not has(self.store, self.digest):
                raise
        except CasError:
            await upload.cancel()
            raise

    async def again(self, call, *args) -> None:
        """Once more when the daemon is back; what was appended before that counts."""
        while True:
            try:
                await call(*args)
            except DaemonAway:
                await trio.sleep(0.05)
                if call != self.store.commit:
                    return
            else:
                return


async def main(root: Path, size: int, seed: str, known: int, spoilt: int) -> None:
    content = content_of(size, seed, known)
    upstream = content[:spoilt] + bytes(max(0, size - spoilt))
    async with connect_store(root, root / DAEMON_SOCKET) as store:
        pull = Pull(store, content, upstream)
        try:
            await pull.run()
        except* CasError as errors:
            error = errors.exceptions[0]
            say("fetched", pull.fetched)
            say("aborted", type(error).__name__, pull.passed)
        else:
            say("fetched", pull.fetched)
            say("pulled", "sha256:" + pull.hash.hexdigest())


if __name__ == "__main__":
    _, where, size, seed, known, *more = sys.argv
    trio.run(main, Path(where), int(size), seed, int(known), int((more or [size])[0]))
