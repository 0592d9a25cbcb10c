import io
import tarfile

import pytest
import trio

from cas import layout, placing
from cas.digest import Digest
from cas.errors import Busy, StoreFailed
from cas.local import open_store
from cas.placing import _Build
from cas.verbs import Owner
from index import keys, placement
from index.changes import Unlink
from index.errors import ExpectationsFailed, IndexFailed
from index.expectations import RepositoryRevision
from index.records import PackState
from index.writer import Writer
from tests.cas.pushing import (
    GZIP,
    IMAGE,
    OTHER,
    OWNER,
    REPOSITORY,
    changes_for,
    check,
    drift,
    extents,
    files,
    fill,
    has,
    noise,
    prepare,
    pull,
    push,
)

MEBI = 1 << 20


@pytest.fixture
def small(monkeypatch):
    """Adoption from 1 MiB on, slices of 24 rows: what takes 16 MiB and 512 rows otherwise."""
    monkeypatch.setattr(placing, "ADOPT_BYTES", MEBI)
    monkeypatch.setattr(placement, "ROWS", 24)


def packs_of(store, digest: Digest) -> dict[int, PackState]:
    def look(view):
        row = view.object(digest.key)
        return {e.pack: view.pack(e.pack).state for e in view.extents(row.id)}

    return store.read(look)


async def stored(store) -> int:
    return (await store.stats()).stored


# --- adopt or append ---


async def test_a_large_new_blob_is_adopted_and_lies_in_one_extent(store, small, tmp_path):
    content = noise(2 * MEBI)
    upload = await fill(store, content)
    inode = layout.upload_path(tmp_path, upload.id).stat().st_ino
    digest = Digest.of(content)

    await store.commit(changes_for(upload, digest))

    ((pack, state),) = packs_of(store, digest).items()
    status = layout.pack_path(tmp_path, pack).stat()
    assert state is PackState.SEALED
    assert pack == layout.session_pack(upload.id)
    assert (status.st_ino, status.st_nlink, status.st_mode & 0o777) == (inode, 1, 0o400)
    assert extents(store, digest) == 1
    assert files(tmp_path / layout.UPLOADS) == []


async def test_a_small_new_blob_is_appended_to_the_active_pack(store, small):
    digests = [await push(store, noise(200_000, seed)) for seed in range(3)]

    found = [packs_of(store, digest) for digest in digests]

    assert found[0] == found[1] == found[2]
    assert list(found[0].values()) == [PackState.ACTIVE]
    assert [extents(store, digest) for digest in digests] == [1, 1, 1]


@pytest.mark.parametrize(("known", "is_adopted"), [(24, True), (26, False)])
async def test_a_blob_is_adopted_when_three_quarters_of_it_are_new(
    store, small, monkeypatch, known, is_adopted
):
    monkeypatch.setattr("cas.uploads.chunking.OPAQUE_CHUNK", 50_000)
    parts = [GZIP + noise(49_996, seed) for seed in range(100)]
    await push(store, b"".join(parts[:known]), Owner(OTHER, "admin"))
    digest = await push(store, b"".join(parts))

    assert (len(packs_of(store, digest)) == 2) is is_adopted or known >= 20
    states = list(packs_of(store, digest).values())
    assert (states.count(PackState.SEALED) == len(states)) is is_adopted


async def test_a_repeated_chunk_is_stored_once(store):
    digest = await push(store, bytes(4 * MEBI))

    assert await stored(store) <= 256 << 10
    assert pull(store, digest) == bytes(4 * MEBI)


async def test_known_pages_of_an_adopted_file_are_freed(store, small, tmp_path):
    base = noise(2 * MEBI)
    await push(store, base)
    mixed = noise(3 * MEBI, "new") + base[: MEBI // 2]
    digest = await push(store, mixed)
    ((pack, _),) = [
        (pack, state)
        for pack, state in packs_of(store, digest).items()
        if layout.pack_path(tmp_path, pack).stat().st_size == len(mixed)
    ]

    blocks = layout.pack_path(tmp_path, pack).stat().st_blocks * 512

    assert blocks < len(mixed) - MEBI // 4
    assert pull(store, digest) == mixed


def tar_of(contents: list[bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number, content in enumerate(contents):
            info = tarfile.TarInfo(f"usr/lib/file-{number}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


async def test_a_tar_with_two_in_a_hundred_files_changed_adds_less_than_15_percent(store):
    contents = [noise(2_000 + number * 1_500, number) for number in range(100)]
    edited = list(contents)
    for number in (30, 70):
        edited[number] = noise(len(contents[number]), "changed")
    first, second = tar_of(contents), tar_of(edited)

    await push(store, first)
    before = await stored(store)
    digest = await push(store, second)

    assert await stored(store) - before < 0.15 * len(second)
    assert pull(store, digest) == second


# --- races ---


async def test_a_chunk_that_went_between_look_and_commit_is_brought_along_after_all(
    store, monkeypatch
):
    original, looks = placing._fresh, []

    def fresh(staged, view):
        found = original(staged, view)
        looks.append(found)
        if len(looks) == 1:
            known = type(found.offsets)("q", [-1] * len(found.offsets))
            return placing._Fresh(found.size, 0, [], known)
        return found

    monkeypatch.setattr(placing, "_fresh", fresh)
    content = noise(300_000)

    digest = await push(store, content)

    assert len(looks) == 2
    assert pull(store, digest) == content
    assert await drift(store) == []


async def test_chunks_that_always_go_are_given_up_and_the_upload_resumes(store, monkeypatch):
    def fresh(staged, view):
        known = [-1] * len(staged.chunks.lengths)
        return placing._Fresh(staged.chunks.size, 0, [], placing.array("q", known))

    upload = await fill(store, noise(300_000))
    digest = Digest.of(noise(300_000))
    original = placing._fresh
    monkeypatch.setattr(placing, "_fresh", fresh)
    with pytest.raises(Busy):
        await store.commit(changes_for(upload, digest))
    monkeypatch.setattr(placing, "_fresh", original)

    await store.commit(changes_for(upload, digest))

    assert pull(store, digest) == noise(300_000)


async def test_two_adoptions_of_the_same_bytes_at_once_leave_one_file(store, small, tmp_path):
    content = noise(4 * MEBI)
    digest = Digest.of(content)
    owners = [OWNER, Owner(OTHER, "b"), Owner(OTHER, "c")]
    uploads = [await fill(store, content, owner) for owner in owners]

    async with trio.open_nursery() as nursery:
        for upload, owner in zip(uploads, owners, strict=True):
            nursery.start_soon(store.commit, changes_for(upload, digest, owner))

    report = await check(store)
    assert report.drift == []
    assert "unnamed chunks" not in report.checked
    assert len(files(tmp_path / layout.PACKS)) == 2  # the active pack, and one adopted
    assert files(tmp_path / layout.UPLOADS) == []
    assert pull(store, digest) == content


async def test_builds_that_share_chunks_at_once_are_independent(store, small):
    shared = noise(2 * MEBI)
    contents = [shared + noise(MEBI, seed) for seed in ("a", "b")]
    uploads = [await fill(store, content) for content in contents]
    digests = [Digest.of(content) for content in contents]

    async def fail():
        with pytest.raises(ExpectationsFailed):
            await store.commit(
                changes_for(uploads[1], digests[1]), [RepositoryRevision(REPOSITORY, 9)]
            )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.commit, changes_for(uploads[0], digests[0]))
        nursery.start_soon(fail)

    assert await drift(store) == []
    assert pull(store, digests[0]) == contents[0]
    await store.commit(changes_for(uploads[1], digests[1]))
    assert pull(store, digests[1]) == contents[1]
    assert await drift(store) == []


# --- slices ---


async def test_readers_see_nothing_before_the_last_slice(store, small, monkeypatch):
    content = noise(4 * MEBI)
    digest = Digest.of(content)
    seen = []
    original = placement.place_slice

    def place_slice(transaction, *args):
        seen.append(has(store, digest))
        return original(transaction, *args)

    monkeypatch.setattr(placing, "place_slice", place_slice)
    await push(store, content)

    assert len(seen) > 3
    assert not any(seen)
    assert has(store, digest)


@pytest.mark.parametrize("size", [4 * MEBI, 900_000], ids=["adopted", "appended"])
async def test_an_expectation_that_fails_at_the_end_takes_every_slice_back(
    store, small, tmp_path, size
):
    before = store.read(lambda view: (view.entries("chunk"), view.entries("chunk_at")))
    packs = files(tmp_path / layout.PACKS)
    content = noise(size)
    upload = await fill(store, content)

    with pytest.raises(ExpectationsFailed):
        await store.commit(
            changes_for(upload, Digest.of(content)), [RepositoryRevision(REPOSITORY, 9)]
        )

    assert store.read(lambda view: (view.entries("chunk"), view.entries("chunk_at"))) == before
    assert store.read(lambda view: list(view.iter_work())) == []
    assert files(tmp_path / layout.PACKS) == packs
    assert await upload.append(size, b"more") == size + 4
    assert await drift(store) == []


async def test_an_index_that_fails_at_any_slice_loses_nothing(small, tmp_path, monkeypatch):
    content = noise(1_200_000)
    digest = Digest.of(content)
    number = 0
    while True:
        root = tmp_path / str(number)
        is_reached, session = await push_with_slice_failing(root, monkeypatch, content, number)

        async with open_store(root) as store:
            assert await drift(store) == []
            assert has(store, digest) is not is_reached
            if is_reached:
                upload, _ = await store.stage(OWNER, session=session)
                assert upload.size == len(content)
                await store.commit(changes_for(upload, digest))
            assert pull(store, digest) == content
            assert files(root / layout.UPLOADS) == []
        if not is_reached:
            break
        number += 1
    assert number > 2


async def push_with_slice_failing(root, monkeypatch, content, number) -> tuple[bool, str]:
    """Push, and let the index fail at its `number`th operation of the build."""
    operations = []

    def failing(original):
        def run(self, transaction):
            if len(operations) == number:
                operations.append("failed")
                raise IndexFailed("broken")
            operations.append("done")
            return original(self, transaction)

        return run

    session = ""
    with monkeypatch.context() as patch:
        for name in ("first", "following"):
            patch.setattr(_Build, name, failing(getattr(_Build, name)))
        try:
            async with open_store(root) as store:
                await prepare(store)
                upload = await fill(store, content)
                session = upload.id
                await store.commit(changes_for(upload, Digest.of(content)))
        except StoreFailed:
            assert operations[-1] == "failed"
    return "failed" in operations, session


async def test_an_object_that_goes_between_look_and_commit_is_placed_anew(store, monkeypatch):
    content = noise(200_000)
    digest = await push(store, content)
    await store.commit([Unlink(IMAGE, digest.key)])
    upload = await fill(store, content)
    original = placing._fresh

    def look(staged, view):
        found = original(staged, view)
        monkeypatch.setattr(placing, "_fresh", original)
        gone.append(view.object(digest.key))
        return found

    def collect(transaction):
        (row,) = gone
        transaction.delete("object", digest.key)
        transaction.delete("garbage", keys.garbage(row.not_before, 2, digest.key))
        assert placement.dismantle_slice(transaction, row.id).is_over

    async def write(self, run):
        if gone and not collected:
            collected.append(True)
            await original_write(self, collect)
        return await original_write(self, run)

    gone, collected = [], []
    original_write = Writer.write
    monkeypatch.setattr(placing, "_fresh", look)
    monkeypatch.setattr(Writer, "write", write)
    await store.commit(changes_for(upload, digest))

    assert collected
    assert pull(store, digest) == content
    assert await drift(store) == []
