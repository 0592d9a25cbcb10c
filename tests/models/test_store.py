"""The real store, with its threads, files and restarts, against a dictionary."""

import random
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings, strategies as st

from cas.digest import Digest
from cas.errors import DigestMismatch
from cas.local import open_store
from cas.verbs import Adopt, Fsck, Owner, Report
from index.changes import (
    CreateStorage,
    EdgeKind,
    ImageName,
    Link,
    PutManifest,
    PutObject,
    PutRepository,
    SetTag,
    Unlink,
)
from index.errors import TargetMissing
from index.records import Manifest, Repository

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

IMAGES = [ImageName("local/images", "app"), ImageName("local/images", "other")]
SIZES = [0, 100, (64 << 10) + 1, 300_000, 17 << 20]
STEP = 1 << 20


def _content(size, seed):
    """Bytes that share most of their chunks with those of another seed, if they are long."""
    half = random.Random(size).randbytes(size // 2)  # noqa: S311 - not a secret
    return half + random.Random(seed).randbytes(size - len(half))  # noqa: S311 - not a secret


CONTENTS = st.builds(_content, st.sampled_from(SIZES), st.integers(0, 2))
IMAGE = st.sampled_from(IMAGES)
OPERATIONS = st.one_of(
    st.tuples(st.just("push"), IMAGE, CONTENTS),
    st.tuples(st.just("push_together"), st.just(IMAGES), CONTENTS),
    st.tuples(st.just("push_wrong"), IMAGE, CONTENTS),
    st.tuples(st.just("leave"), IMAGE, CONTENTS),
    st.tuples(st.just("resume"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("tag"), IMAGE, st.integers(0, 9)),
    st.tuples(st.just("unlink"), IMAGE, st.integers(0, 9)),
    st.tuples(st.just("restart"), st.none(), st.none()),
)


@dataclass
class World:
    """The store that is open now, and what must be in it."""

    root: Path
    opens: Callable  # root → the store's context
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    store: object = None
    links: dict = field(default_factory=dict)  # (image, digest) → content
    left: list = field(default_factory=list)  # (session, image, content, offset)

    async def restart(self, *_):
        await self.stack.aclose()
        self.stack = AsyncExitStack()
        self.store = await self.stack.enter_async_context(self.opens(self.root))

    async def _finish(self, upload, owner, content):
        for start in range(upload.size, len(content), STEP):
            await upload.append(start, content[start : start + STEP])
        digest = Digest.of(content)
        link = Link(owner.image, digest.key, 60)
        await self.store.commit([Adopt(upload.id, digest, owner), link])
        self.links[owner.image, digest] = content

    async def push(self, image, content):
        owner = Owner(image, "ada")
        upload, _ = await self.store.stage(owner)
        await self._finish(upload, owner, content)

    async def push_together(self, images, content):
        async with trio.open_nursery() as nursery:
            for image in images:
                nursery.start_soon(self.push, image, content)

    async def push_wrong(self, image, content):
        owner = Owner(image, "ada")
        upload, _ = await self.store.stage(owner)
        for start in range(0, len(content), STEP):
            await upload.append(start, content[start : start + STEP])
        with pytest.raises(DigestMismatch):
            await self.store.commit([Adopt(upload.id, Digest.of(b"else"), owner)])

    async def leave(self, image, content):
        upload, _ = await self.store.stage(Owner(image, "ada"))
        half = len(content) // 2
        for start in range(0, half, STEP):
            await upload.append(start, content[start : min(start + STEP, half)])
        self.left.append((upload.id, image, content, half))

    async def resume(self, pick, is_cancelled):
        if not self.left:
            return
        session, image, content, offset = self.left.pop(pick % len(self.left))
        owner = Owner(image, "ada")
        upload, _ = await self.store.stage(owner, session=session)
        assert upload.size == offset
        if is_cancelled:
            await upload.cancel()
        else:
            await self._finish(upload, owner, content)

    async def tag(self, image, pick):
        """Push a manifest that needs one of the image's blobs, and tag it."""
        held = [digest for name, digest in sorted(self.links, key=str) if name == image]
        if not held:
            return
        content = b"manifest of %d" % pick
        digest, child = Digest.of(content), held[pick % len(held)]
        edges = () if child == digest else ((child.key, EdgeKind.LAYER),)
        record = Manifest(media_type="m", size=len(content))
        await self.store.commit(
            [
                PutObject(digest.key, content),
                Link(image, digest.key),
                PutManifest(image, digest.key, record, edges),
                SetTag(image, "latest", digest.key),
            ]
        )
        self.links[image, digest] = content

    async def unlink(self, image, pick):
        held = [digest for name, digest in sorted(self.links, key=str) if name == image]
        if not held:
            with pytest.raises(TargetMissing):
                await self.store.commit([Unlink(image, Digest.of(b"absent").key)])
            return
        digest = held[pick % len(held)]
        await self.store.commit([Unlink(image, digest.key)])
        del self.links[image, digest]

    async def check(self):
        async for found in self.store.maintain(Fsck()):
            report = found
        assert isinstance(report, Report)
        assert report.drift == []
        for (image, digest), content in self.links.items():
            assert self.store.read(lambda v, i=image, d=digest: v.link(v.image(i).id, d.key))
            with self.store.read(lambda v, d=digest: v.open(d)) as blob:
                assert blob.read(0, blob.size) == content
        assert (await self.store.stats()).uploads == len(self.left)


async def _run(opens, operations):
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), opens)
        await world.restart()
        await world.store.commit([CreateStorage("local")])
        await world.store.commit([PutRepository("local/images", Repository())])
        try:
            for name, *arguments in operations:
                await getattr(world, name)(*arguments)
                await world.check()
            await world.restart()
            await world.check()
        finally:
            await world.stack.aclose()


@settings(max_examples=60)
@given(st.lists(OPERATIONS, min_size=1, max_size=10))
def test_the_store_holds_what_a_dictionary_holds(operations):
    trio.run(_run, open_store, operations)


@settings(max_examples=30)
@given(operations=st.lists(OPERATIONS, min_size=1, max_size=10))
def test_the_store_of_a_worker_holds_what_a_dictionary_holds(daemons, operations):
    trio.run(_run, daemons.connected, operations)
