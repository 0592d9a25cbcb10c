"""Rules of repositories and their deletion: what every `cas.verbs.Store` must do."""

import pytest
import trio

from cas.digest import Digest
from index.changes import (
    DeleteRepository,
    ImageName,
    Link,
    PutManifest,
    PutObject,
    PutRepository,
    SetTag,
    Unlink,
)
from index.errors import ExpectationsFailed, TargetMissing
from index.expectations import NoTagLike, TagKept, WithinQuota
from index.records import Manifest, Repository
from tests.cas.damaging import until
from tests.cas.pushing import (
    IMAGE,
    OTHER,
    OWNER,
    REPOSITORY,
    changes_for,
    drift,
    fill,
    has,
    is_linked,
    noise,
    pull,
    push,
)

KIB, MIB = 1 << 10, 1 << 20
ELSEWHERE = ImageName("local/more", "a")
WITHIN = WithinQuota(REPOSITORY)


def manifest(text: bytes, *tags: str) -> list:
    digest = Digest.of(text)
    return [
        PutObject(digest.key, text),
        Link(IMAGE, digest.key),
        PutManifest(IMAGE, digest.key, Manifest(media_type="m", size=len(text))),
        *(SetTag(IMAGE, tag, digest.key) for tag in tags),
    ]


def linked(store, name=REPOSITORY) -> int:
    return store.read(lambda view: view.usage(view.repository(name).id).linked)


async def limit(store, quota: int) -> None:
    await store.commit([PutRepository(REPOSITORY, Repository(quota_bytes=quota))])


async def test_of_two_pushes_at_once_of_a_tag_that_is_kept_exactly_one_wins(store):
    refused = []

    async def attempt(text):
        kept = TagKept(IMAGE, "v1", Digest.of(text).key)
        try:
            await store.commit(manifest(text, "v1"), [kept])
        except ExpectationsFailed as error:
            refused.append((text, error.failed == (kept,)))

    async with trio.open_nursery() as nursery:
        for text in (b"one", b"two"):
            nursery.start_soon(attempt, text)

    ((loser, is_told),) = refused
    assert is_told
    assert not has(store, Digest.of(loser))
    assert await drift(store) == []


async def test_what_a_kept_tag_points_at_is_not_unlinked(store):
    await store.commit(manifest(b"one", "v1", "latest"))
    key = Digest.of(b"one").key

    with pytest.raises(ExpectationsFailed):
        await store.commit([Unlink(IMAGE, key)], [NoTagLike(IMAGE, key, ("v*",))])
    assert is_linked(store, IMAGE, Digest.of(b"one"))
    await store.commit([Unlink(IMAGE, key)], [NoTagLike(IMAGE, key, ("w*",))])


@pytest.mark.parametrize("size", [1000, 300 * KIB, 12 * MIB], ids=["inline", "chunks", "slices"])
async def test_an_upload_beyond_a_quota_leaves_nothing_and_can_be_tried_again(store, size):
    content = noise(size)
    digest = Digest.of(content)
    await limit(store, size - 1)
    upload = await fill(store, content)

    with pytest.raises(ExpectationsFailed) as refused:
        await store.commit(changes_for(upload, digest), [WITHIN])

    assert refused.value.failed == (WITHIN,)
    assert not has(store, digest)
    assert linked(store) == 0
    assert store.read(lambda v: v.entries("extent") + v.entries("chunk_at")) == 0
    assert await drift(store) == []
    await limit(store, size)
    again, _ = await store.stage(OWNER, session=upload.id)
    assert again.size == size
    await store.commit(changes_for(again, digest), [WITHIN])
    assert pull(store, digest) == content
    assert linked(store) == size


async def test_what_a_repository_has_in_another_image_takes_no_room(store):
    content = noise(100 * KIB)
    digest = await push(store, content)
    await limit(store, 100 * KIB)

    await store.commit([Link(OTHER, digest.key, 60)], [WITHIN])
    with pytest.raises(ExpectationsFailed):
        await store.commit(manifest(b"x"), [WITHIN])

    await store.commit([Unlink(IMAGE, digest.key)])
    assert linked(store) == 100 * KIB
    await store.commit([Unlink(OTHER, digest.key)])
    assert linked(store) == 0
    await store.commit(manifest(b"x"), [WITHIN])


async def test_a_deleted_repository_goes_by_itself_and_what_is_shared_stays(store):
    await store.commit([PutRepository("local/more", Repository())])
    shared = await push(store, noise(300 * KIB))
    await store.commit([Link(ELSEWHERE, shared.key, 60), *manifest(b"m", "v1", "v2")])

    await store.commit([DeleteRepository(REPOSITORY)])

    assert store.read(lambda view: view.image(IMAGE)) is None
    with pytest.raises(TargetMissing):
        await store.commit([Link(IMAGE, shared.key, 60)])
    await until(lambda: store.read(lambda view: view.entries("repository")) == 1)
    assert store.read(lambda view: view.entries("tag") + view.entries("manifest")) == 0
    assert pull(store, shared) == noise(300 * KIB)
    assert await drift(store) == []
