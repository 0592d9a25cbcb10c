"""Commits and leases: what every `cas.verbs.Store` must do, by the Protocol only."""

import pytest
import trio

from cas.digest import Digest
from cas.errors import (
    BlobUnknown,
    DigestMismatch,
    ObjectTooLarge,
    UploadUnknown,
)
from cas.verbs import Adopt, Fsck, Owner, Progress
from index.changes import ImageName, Link, Note, PutManifest, PutObject, SetTag
from index.errors import ExpectationsFailed, TargetMissing
from index.expectations import Linked, RepositoryAbsent, RepositoryRevision, TagIs
from index.journal import iter_entries
from index.records import Entry, Manifest
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

CONTENT = noise(200_000)
DIGEST = Digest.of(CONTENT)


async def test_bytes_that_hash_to_something_else_are_refused_and_thrown_away(store):
    upload = await fill(store, CONTENT)
    wrong = Digest.of(b"something else")

    with pytest.raises(DigestMismatch) as caught:
        await store.commit(changes_for(upload, wrong))

    assert (caught.value.expected, caught.value.actual) == (wrong, DIGEST)
    assert not has(store, wrong)
    assert not has(store, DIGEST)
    with pytest.raises(UploadUnknown):
        await store.stage(OWNER, session=upload.id)
    assert await drift(store) == []


@pytest.mark.parametrize("hint", ["sha256", "sha512"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [5, 200_000])
async def test_either_algorithm_works_with_and_without_the_hint(store, algorithm, hint, size):
    owner = Owner(IMAGE, "admin", hint)
    content = noise(size)
    digest = Digest.of(content, algorithm)
    upload = await fill(store, content, owner)

    await store.commit(changes_for(upload, digest, owner))

    assert pull(store, digest) == content


async def test_a_wrong_sha512_is_refused(store):
    upload = await fill(store, CONTENT)

    with pytest.raises(DigestMismatch):
        await store.commit([Adopt(upload.id, Digest.of(b"x", "sha512"), OWNER)])


async def test_the_same_bytes_pushed_twice_are_one_object(store):
    digest = await push(store, CONTENT)
    row = store.read(lambda view: view.object(digest.key))

    await push(store, CONTENT, Owner(OTHER, "admin"))
    after = store.read(lambda view: view.object(digest.key))

    assert after.id == row.id
    assert after.references == row.references + 1
    assert await drift(store) == []


@pytest.mark.parametrize("size", [10, 200_000, pytest.param(20 << 20, marks=pytest.mark.slow)])
async def test_two_clients_that_push_the_same_at_once_both_succeed_with_one_copy(store, size):
    content = noise(size)
    digest = Digest.of(content)
    owners = [OWNER, Owner(OTHER, "somebody else")]
    uploads = [await fill(store, content, owner) for owner in owners]

    async with trio.open_nursery() as nursery:
        for upload, owner in zip(uploads, owners, strict=True):
            nursery.start_soon(store.commit, changes_for(upload, digest, owner))

    assert pull(store, digest) == content
    assert is_linked(store, IMAGE, digest)
    assert is_linked(store, OTHER, digest)
    assert store.read(lambda view: view.object(digest.key)).references == 2
    assert await drift(store) == []


async def test_expectations_that_do_not_hold_come_back_by_name_and_together(store):
    upload = await fill(store, CONTENT)
    good = RepositoryRevision(REPOSITORY, 1)
    bad = [TagIs(IMAGE, "v1", DIGEST.key), RepositoryAbsent(REPOSITORY)]

    with pytest.raises(ExpectationsFailed) as caught:
        await store.commit(changes_for(upload, DIGEST), [good, *bad])

    assert caught.value.failed == tuple(bad)


@pytest.mark.parametrize("size", [10, 200_000, pytest.param(20 << 20, marks=pytest.mark.slow)])
async def test_after_a_failed_expectation_the_upload_can_go_on(store, size):
    content = noise(size)
    upload = await fill(store, content)
    with pytest.raises(ExpectationsFailed):
        await store.commit(
            changes_for(upload, Digest.of(content)), [RepositoryRevision(REPOSITORY, 9)]
        )
    assert not has(store, Digest.of(content))
    assert await drift(store) == []

    again, _ = await store.stage(OWNER, session=upload.id)
    await again.append(size, b"and more")
    await store.commit(changes_for(again, Digest.of(content + b"and more")))

    assert pull(store, Digest.of(content + b"and more")) == content + b"and more"


async def test_a_push_to_what_does_not_exist_changes_nothing(store):
    owner = Owner(ImageName("local/none", "a"), "admin")
    upload = await fill(store, CONTENT, owner)

    with pytest.raises(TargetMissing):
        await store.commit(changes_for(upload, DIGEST, owner))

    assert not has(store, DIGEST)


async def test_a_mount_needs_the_source_to_have_the_blob(store):
    digest = await push(store, CONTENT)

    await store.commit([Link(OTHER, digest.key, 60)], [Linked(IMAGE, digest.key)])

    assert is_linked(store, OTHER, digest)
    third = ImageName(REPOSITORY, "c")
    with pytest.raises(ExpectationsFailed):
        await store.commit(
            [Link(third, digest.key, 60)], [Linked(ImageName(REPOSITORY, "d"), digest.key)]
        )
    assert not is_linked(store, third, digest)


async def test_a_link_to_what_is_not_stored_is_refused(store):
    with pytest.raises(TargetMissing):
        await store.commit([Link(IMAGE, DIGEST.key, 60)])


async def test_a_manifest_with_its_tag_is_one_commit(store):
    content = b'{"schemaVersion": 2}'
    digest = Digest.of(content)
    record = Manifest(media_type="application/vnd.oci.image.manifest.v1+json", size=len(content))

    before = store.read(lambda view: view.revision())
    revision = await store.commit(
        [
            PutObject(digest.key, content),
            Link(IMAGE, digest.key),
            PutManifest(IMAGE, digest.key, record),
            SetTag(IMAGE, "v1", digest.key),
        ],
        [TagIs(IMAGE, "v1", None)],
    )

    assert revision == before + 1
    assert pull(store, digest) == content
    assert store.read(lambda v: v.tag(v.image(IMAGE).id, "v1")).digest == digest.key
    assert await drift(store) == []


async def test_an_inline_object_is_checked_against_its_digest(store):
    with pytest.raises(DigestMismatch):
        await store.commit([PutObject(DIGEST.key, b"something else")])
    with pytest.raises(DigestMismatch):
        await store.commit([PutObject(DIGEST.key, noise(100_000))])


async def test_an_inline_object_has_a_limit(store):
    content = bytes((16 << 20) + 1)

    with pytest.raises(ObjectTooLarge):
        await store.commit([PutObject(DIGEST.key, content)])


async def test_what_was_committed_is_read_by_the_next_read(store):
    revision = await store.commit([PutObject(Digest.of(b"x").key, b"x")])

    assert store.read(lambda view: view.revision()) == revision
    assert pull(store, Digest.of(b"x")) == b"x"


# --- leases and maintenance ---


async def test_to_extend_a_link_never_makes_one(store):
    digest = await push(store, CONTENT)

    with pytest.raises(BlobUnknown):
        await store.extend(OTHER, digest)

    assert not is_linked(store, OTHER, digest)


async def test_to_extend_a_fresh_link_writes_nothing(store):
    digest = await push(store, CONTENT)
    revision = store.read(lambda view: view.revision())

    await store.extend(IMAGE, digest)

    assert store.read(lambda view: view.revision()) == revision


async def test_maintenance_tells_progress_and_ends_with_its_report(store):
    await push(store, CONTENT)

    told = [each async for each in store.maintain(Fsck())]

    assert all(isinstance(each, Progress) for each in told[:-1])
    assert told[-1].checked["objects"] == 1
    assert told[-1].drift == []


async def test_the_journal_tells_of_what_was_committed_and_of_nothing_else(store):
    """Commits that fail beside others, in one transaction with them, leave no entry."""

    async def commit(number):
        note = Note(Entry(at=1, action="test", target=str(number)), REPOSITORY)
        failing = [RepositoryAbsent(REPOSITORY)] if number % 2 else []
        tag = [SetTag(IMAGE, "v1", DIGEST.key)] if number % 3 == 0 else []  # of what is not linked
        try:
            await store.commit([note, *tag], failing)
        except (ExpectationsFailed, TargetMissing):
            return
        done.append(str(number))

    done = []
    async with trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(commit, number)

    told = store.read(lambda view: [entry.target for _, entry in iter_entries(view)])
    assert sorted(told) == sorted(done) == ["10", "2", "4", "8"]
