"""Readers of an upload that grows: what every `cas.verbs.Store` must do, by the Protocol only."""

import socket
from contextlib import closing, contextmanager

import pytest
import trio

from cas import layout
from cas.digest import Digest
from cas.errors import DigestMismatch, UploadOrphaned, UploadUnknown
from cas.verbs import Adopt, Owner
from index.changes import Link
from tests.cas.pushing import (
    GZIP,
    IMAGE,
    OTHER,
    OWNER,
    changes_for,
    drift,
    extents,
    fill,
    has,
    is_linked,
    more,
    noise,
    pull,
    push,
)

KEY = "sha256:a digest"
STEP = 1 << 20
CONTENT = noise(200_000)
DIGEST = Digest.of(CONTENT)


@contextmanager
def socket_pair():
    """Two ends of a connection, neither of which blocks."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


async def follow(growing, size: int, start: int = 0) -> bytes:
    """What a client gets: all but the last byte as it comes, and that one when it is verified."""
    parts = []
    while start < size:
        await growing.wait(start)
        stop = min(growing.size, size if growing.is_verified else size - 1)
        if start == stop:
            await growing.wait(growing.size)
        parts.append(await trio.to_thread.run_sync(growing.read, start, stop))
        start = stop
    return b"".join(parts)


async def follow_into(got: list[bytes], growing, size: int, start: int = 0) -> None:
    got.append(await follow(growing, size, start))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"x", id="a byte"),
        pytest.param(noise(60_000), id="inline"),
        pytest.param(noise(3 << 20), id="its chunks are appended"),
        pytest.param(GZIP + noise(17 << 20), id="adopted", marks=pytest.mark.slow),
    ],
)
async def test_followers_get_every_byte_from_any_offset_whatever_a_commit_does(store, content):
    upload, _ = await store.stage(OWNER, key=KEY)
    starts = [0, 0, len(content) // 2, len(content) - 1]
    got: list[list[bytes]] = [[] for _ in starts]

    async with trio.open_nursery() as nursery:
        for start, each in zip(starts, got, strict=True):
            follower, is_owner = await store.stage(Owner(OTHER, "somebody"), key=KEY)
            assert not is_owner
            nursery.start_soon(follow_into, each, follower.open(), len(content), start)
        await more(upload, content, 700_000)
        await store.commit(changes_for(upload, Digest.of(content)))

    assert got == [[content[start:]] for start in starts]
    assert pull(store, Digest.of(content)) == content
    assert await drift(store) == []


async def test_what_is_held_open_stays_readable_after_the_commit(store):
    upload, _ = await store.stage(OWNER, key=KEY)
    await more(upload, CONTENT)
    growing = upload.open()

    await store.commit(changes_for(upload, DIGEST))

    assert growing.read(0, len(CONTENT)) == CONTENT
    growing.close()


async def test_bytes_count_as_committed_only_when_they_are(store):
    upload, _ = await store.stage(OWNER, key=KEY)
    await more(upload, CONTENT)

    with closing(upload.open()) as growing:
        assert await growing.wait(0) == len(CONTENT)
        assert not growing.is_committed
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.commit, changes_for(upload, DIGEST))
            assert await growing.wait(len(CONTENT)) == len(CONTENT)
            assert growing.is_verified
            await growing.wait_committed()
            assert growing.is_committed
            assert has(store, DIGEST)
        assert await growing.wait(1 << 40) == len(CONTENT)


@pytest.mark.parametrize("end", ["cancel", "mismatch"])
async def test_followers_of_what_ends_otherwise_are_told_and_nothing_is_kept(store, end):
    upload, _ = await store.stage(OWNER, key=KEY)
    await more(upload, CONTENT)
    told = []

    async def wait(growing):
        with closing(growing), pytest.raises(UploadUnknown) as caught:
            await growing.wait(len(CONTENT))
        assert not growing.is_committed
        told.append(caught.value)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait, upload.open())
        await trio.testing.wait_all_tasks_blocked()
        if end == "cancel":
            await upload.cancel()
        else:
            with pytest.raises(DigestMismatch):
                await store.commit([Adopt(upload.id, Digest.of(b"else"), upload.owner)])

    assert len(told) == 3
    assert not has(store, DIGEST)
    assert await drift(store) == []


@pytest.mark.parametrize("end", ["cancel", "commit"])
async def test_what_ended_is_not_opened(store, end):
    upload = await fill(store, CONTENT)
    if end == "cancel":
        await upload.cancel()
    else:
        await store.commit(changes_for(upload, DIGEST))

    with pytest.raises(UploadUnknown):
        upload.open()


async def test_a_wait_for_what_is_there_returns_at_once(store):
    upload, _ = await store.stage(OWNER)
    await upload.append(0, b"abc")

    with upload.open() as growing:
        assert [await growing.wait(offset) for offset in range(3)] == [3, 3, 3]
        assert growing.size == 3


async def test_what_grows_can_be_sent_and_peeked_at_without_waiting(store):
    upload, _ = await store.stage(OWNER)
    await upload.append(0, CONTENT[:100_000])

    with closing(upload.open()) as growing, socket_pair() as (ours, theirs):
        assert growing.peek(99_990, growing.size) == CONTENT[99_990:100_000]
        await upload.append(100_000, CONTENT[100_000:])
        growing.load(0, growing.size)
        sent = growing.send(ours, 99_000, 101_000)
        assert 0 < sent <= 2000
        assert theirs.recv(4000) == CONTENT[99_000 : 99_000 + sent]
        assert growing.read(0, 1 << 40) == CONTENT


async def test_a_growing_upload_may_be_closed_twice_and_opened_again(store):
    upload, _ = await store.stage(OWNER)
    await upload.append(0, b"abc")
    first, second = upload.open(), upload.open()

    first.close()
    first.close()

    assert second.read(0, 3) == b"abc"
    second.close()
    with upload.open() as third:
        assert third.read(0, 3) == b"abc"


async def test_a_follower_that_leaves_changes_nothing_for_the_others(store):
    upload, _ = await store.stage(OWNER, key=KEY)
    got: list[bytes] = []
    gone = upload.open()

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as first:
            first.start_soon(gone.wait, 0)
            nursery.start_soon(follow_into, got, upload.open(), len(CONTENT))
            await trio.testing.wait_all_tasks_blocked()
            first.cancel_scope.cancel()
        gone.close()
        await more(upload, CONTENT)
        await store.commit(changes_for(upload, DIGEST))

    assert got == [CONTENT]


# --- whose it is ---


async def test_whoever_is_there_may_commit_what_has_a_key_and_link_it_to_itself(store):
    first, _ = await store.stage(OWNER, key=KEY)
    await more(first, CONTENT)
    other = Owner(OTHER, "somebody else")
    follower, _ = await store.stage(other, key=KEY)

    await store.commit([Adopt(follower.id, DIGEST, follower.owner), Link(OTHER, DIGEST.key, 60)])
    await store.commit([Link(IMAGE, DIGEST.key, 60)])

    assert is_linked(store, OTHER, DIGEST)
    assert is_linked(store, IMAGE, DIGEST)


async def test_no_image_and_no_principal_reaches_what_has_a_key_by_its_session(store):
    upload, _ = await store.stage(OWNER, key=KEY)
    await more(upload, CONTENT)

    for owner in (OWNER, Owner(IMAGE, ""), Owner(IMAGE, KEY), Owner(OTHER, KEY)):
        with pytest.raises(UploadUnknown):
            await store.stage(owner, session=upload.id)
        with pytest.raises(UploadUnknown):
            await store.commit([Adopt(upload.id, DIGEST, owner)])
    with pytest.raises(UploadUnknown):
        await store.stage(OWNER, session=upload.id, key="another")


async def test_what_its_owner_leaves_goes_on_with_the_first_who_stages_it(store):
    upload, _ = await store.stage(OWNER, key=KEY)
    await upload.append(0, CONTENT[:100_000])
    got: list[bytes] = []
    follower = upload.open()

    await upload.leave()
    with pytest.raises(UploadOrphaned):
        await follower.wait(100_000)
    taken, is_owner = await store.stage(Owner(OTHER, "b"), session=upload.id, key=KEY)
    _, is_second = await store.stage(OWNER, key=KEY)
    assert (taken.id, taken.size, is_owner, is_second) == (upload.id, 100_000, True, False)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow_into, got, follower, len(CONTENT))
        await more(taken, CONTENT[100_000:])
        await store.commit(changes_for(taken, DIGEST))

    assert got == [CONTENT]


async def test_who_takes_over_begins_behind_what_was_appended_and_never_told(store, tmp_path):
    upload, _ = await store.stage(OWNER, key=KEY)
    await upload.append(0, CONTENT[:1000])
    with layout.upload_path(tmp_path, upload.id).open("ab") as file:  # and then its owner died
        file.write(CONTENT[1000:5000])
    await upload.leave()

    taken, is_ours = await store.stage(OWNER, key=KEY)
    await taken.append(taken.size, CONTENT[5000:])
    await store.commit(changes_for(taken, DIGEST))

    assert is_ours
    assert pull(store, DIGEST) == CONTENT


async def test_what_lost_its_file_is_begun_anew(store, tmp_path):
    upload, _ = await store.stage(OWNER, key=KEY)
    await upload.append(0, CONTENT[:1000])
    await upload.leave()
    layout.upload_path(tmp_path, upload.id).unlink()

    again, is_ours = await store.stage(OWNER, key=KEY)
    await more(again, CONTENT)
    await store.commit(changes_for(again, DIGEST))

    assert (is_ours, again.id == upload.id) == (True, False)
    assert pull(store, DIGEST) == CONTENT


async def test_to_leave_what_has_no_key_changes_nothing(store):
    upload = await fill(store, CONTENT)

    await upload.leave()
    await store.commit(changes_for(upload, DIGEST))

    assert pull(store, DIGEST) == CONTENT
    with pytest.raises(UploadUnknown):
        await upload.leave()


# --- half of it is known ---


@pytest.mark.slow
@pytest.mark.parametrize("known", [4, 12], ids=["adopted", "appended"])
async def test_followers_of_what_is_partly_known_read_no_hole(store, known):
    base = noise(known * STEP, "base")
    await push(store, base)
    content = base + noise((24 - known) * STEP, "new")
    digest = Digest.of(content)
    upload, _ = await store.stage(OWNER, key=KEY)
    await more(upload, content)
    growing = upload.open()

    await store.commit(changes_for(upload, digest))

    assert await trio.to_thread.run_sync(growing.read, 0, len(content)) == content
    growing.close()
    assert pull(store, digest) == content
    assert extents(store, digest) > 1
    assert await drift(store) == []
