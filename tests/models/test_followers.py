"""Appends, commits and ends meet followers in any order: they get all bytes, or an error."""

import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings, strategies as st

from cas import placing
from cas.digest import Digest
from cas.errors import DigestMismatch, UploadOrphaned, UploadUnknown
from cas.local import StoreSettings, open_store
from cas.verbs import Adopt, Collect, Owner
from index.changes import Link, Unlink
from tests.cas.pushing import IMAGE, OTHER, drift, has, is_linked, noise, prepare, push

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KEY = "key"
KNOWN = 130_000
SIZES = [1, 60_000, 200_000, 700_000]
SETTINGS = StoreSettings(grace_seconds=0, lease_seconds=0)
OPERATIONS = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 300_000)),
    st.tuples(st.just("append"), st.just(1 << 20)),
    st.tuples(st.just("push"), st.just(0)),
    st.tuples(st.just("follow"), st.floats(0, 1)),
    st.tuples(st.just("hold"), st.just(0)),
    st.tuples(st.just("pass_on"), st.booleans()),
    st.tuples(st.just("commit"), st.just(0)),
    st.tuples(st.just("commit_wrong"), st.just(0)),
    st.tuples(st.just("cancel"), st.just(0)),
    st.tuples(st.just("collect"), st.just(0)),
    st.tuples(st.just("free"), st.just(0)),
)


class Transfer:
    """One blob on its way, those who follow it, and what they got."""

    def __init__(self, store, nursery, content: bytes) -> None:
        self.store = store
        self.nursery = nursery
        self.content = content
        self.digest = Digest.of(content)
        self.upload = None
        self.got: list[tuple[int, bytes]] = []
        self.aborted: list[int] = []
        self.begun = 0
        self.held: list = []  # open, and slow: nothing is read of them before the end

    async def stage(self) -> bool:
        """There is an upload to go on with; none once its object was committed."""
        if self.upload is None and not has(self.store, self.digest):
            self.upload, is_owner = await self.store.stage(Owner(IMAGE, "ada"), key=KEY)
            assert is_owner
        return self.upload is not None

    async def append(self, count: int) -> None:
        if await self.stage():
            start = self.upload.size
            await self.upload.append(start, self.content[start : start + count])

    async def follow(self, share: float) -> None:
        if await self.stage():
            self.begun += 1
            start = int(share * (len(self.content) - 1))
            self.nursery.start_soon(self._follow, self.upload.open(), start)
            await trio.lowlevel.checkpoint()

    async def _follow(self, growing, start: int) -> None:
        parts, at, size = [], start, len(self.content)
        with growing:
            try:
                while at < size:
                    try:
                        await growing.wait(at)
                        stop = min(growing.size, size if growing.is_verified else size - 1)
                        if stop == at:
                            await growing.wait(growing.size)
                    except UploadOrphaned:
                        await trio.sleep(0.001)
                        continue
                    parts.append(await trio.to_thread.run_sync(growing.read, at, stop))
                    at = stop
            except UploadUnknown:
                self.aborted.append(start)
                assert self.content[start:at] == b"".join(parts)
            else:
                self.got.append((start, b"".join(parts)))

    async def hold(self, _) -> None:
        if await self.stage():
            self.held.append(self.upload.open())

    async def read_held(self) -> None:
        for growing in self.held:
            with growing:
                got = await trio.to_thread.run_sync(growing.read, 0, growing.size)
            assert got == self.content[: len(got)]

    async def pass_on(self, is_slow) -> None:
        if await self.stage():
            await self.upload.leave()
            if is_slow:
                await trio.sleep(0.003)
            self.upload, is_owner = await self.store.stage(
                Owner(OTHER, "bob"), session=self.upload.id, key=KEY
            )
            assert is_owner

    async def push(self, _) -> None:
        await self.hold(None)
        await self.append(1 << 20)
        await self.commit(None)

    async def commit(self, _) -> None:
        await self._commit(self.digest)

    async def commit_wrong(self, _) -> None:
        await self._commit(Digest.of(b"else"))

    async def _commit(self, digest: Digest) -> None:
        if not await self.stage():
            return
        is_right = digest == self.digest and self.upload.size == len(self.content)
        adopt = Adopt(self.upload.id, digest, self.upload.owner)
        self.upload = None
        try:
            await self.store.commit([adopt, Link(IMAGE, digest.key, 0)])
        except DigestMismatch:
            assert not is_right
        else:
            assert is_right

    async def cancel(self, _) -> None:
        if self.upload is not None:
            upload, self.upload = self.upload, None
            await upload.cancel()

    async def collect(self, _) -> None:
        """Whatever lies in packs moves, or goes."""
        if is_linked(self.store, IMAGE, self.digest):
            await self.store.commit([Unlink(IMAGE, self.digest.key)])
        async for _told in self.store.maintain(Collect()):
            pass

    async def free(self, _) -> None:
        placer = getattr(self.store, "_placer", None)
        if placer is not None:
            await trio.to_thread.run_sync(placer.punching.punch_owed)


async def _run(opens, size, is_known, operations) -> None:
    known = noise(KNOWN, "known") if is_known else b""
    content = (
        (known + noise(size, "new"))[-max(size, 1) :]
        if size < KNOWN
        else (known + noise(size - len(known), "new"))
    )
    with tempfile.TemporaryDirectory() as folder:
        async with opens(Path(folder)) as store:
            await prepare(store)
            if is_known:
                await push(store, known)
            async with trio.open_nursery() as nursery:
                transfer = Transfer(store, nursery, content)
                for name, argument in operations:
                    await getattr(transfer, name)(argument)
                await transfer.read_held()
                await transfer.cancel(None)
            assert len(transfer.got) + len(transfer.aborted) == transfer.begun
            for start, got in transfer.got:
                assert got == content[start:]
            assert await drift(store) == []


@settings(max_examples=80)
@given(st.sampled_from(SIZES), st.booleans(), st.lists(OPERATIONS, min_size=1, max_size=14))
def test_followers_get_the_bytes_or_an_error(size, is_known, operations):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placing, "ADOPT_BYTES", 300_000)
        trio.run(_run, lambda root: open_store(root, SETTINGS), size, is_known, operations)


@settings(max_examples=30)
@given(
    size=st.sampled_from(SIZES),
    is_known=st.booleans(),
    operations=st.lists(OPERATIONS, min_size=1, max_size=14),
)
def test_followers_in_a_worker_get_the_bytes_or_an_error(daemons, size, is_known, operations):
    trio.run(_run, daemons.connected, size, is_known, operations)
