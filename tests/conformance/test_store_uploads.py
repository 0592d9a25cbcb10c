"""Uploads and their followers: what every `cas.verbs.Store` must do, by the Protocol only."""

import socket
from contextlib import suppress

import pytest
import trio

from cas.digest import Digest
from cas.errors import (
    DigestMismatch,
    OffsetMismatch,
    UploadSealed,
    UploadUnknown,
)
from cas.verbs import Adopt, Owner
from index.changes import ImageName
from tests.cas.pushing import (
    IMAGE,
    OTHER,
    OWNER,
    changes_for,
    fill,
    has,
    more,
    noise,
    pull,
)

CONTENT = noise(200_000)
DIGEST = Digest.of(CONTENT)


async def test_a_new_upload_is_empty_and_its_own(store):
    first, is_owner = await store.stage(OWNER)
    second, _ = await store.stage(OWNER)

    assert is_owner
    assert first.size == 0
    assert first.id != second.id


async def test_appending_tells_the_new_size(store):
    upload, _ = await store.stage(OWNER)

    assert await upload.append(0, b"abc") == 3
    assert await upload.append(3, bytearray(b"de")) == 5
    assert await upload.append(5, memoryview(b"f")) == 6
    assert upload.size == 6


async def test_what_waits_in_a_socket_can_be_received(store):
    upload = await fill(store, CONTENT[:1000])
    client, ours = socket.socketpair()
    with client, ours:
        ours.setblocking(False)
        client.sendall(CONTENT[1000:100_000])

        assert await upload.receive(1000, ours, 9000) == 10_000
        with pytest.raises(OffsetMismatch):
            await upload.receive(1000, ours, 9000)
        assert await upload.receive(10_000, ours, 1 << 20) == 100_000
        assert await upload.receive(100_000, ours, 1 << 20) == upload.size == 100_000

    await more(upload, CONTENT[100_000:])
    await store.commit(changes_for(upload, DIGEST))
    assert pull(store, DIGEST) == CONTENT


async def test_a_follower_is_woken_by_what_is_received(store):
    upload, _ = await store.stage(OWNER)
    client, ours = socket.socketpair()
    sizes = []

    async def follow():
        sizes.append(await store.wait_grown(upload, 0))

    with client, ours:
        ours.setblocking(False)
        client.sendall(b"abc")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await trio.testing.wait_all_tasks_blocked()
            await upload.receive(0, ours, 100)

    assert sizes == [3]


@pytest.mark.parametrize("offset", [0, 4, 6, 1 << 40])
async def test_an_append_must_continue_where_the_upload_ends(store, offset):
    upload = await fill(store, b"hello")

    with pytest.raises(OffsetMismatch) as caught:
        await upload.append(offset, b"more")

    assert (caught.value.offset, caught.value.size) == (offset, 5)
    assert upload.size == 5


async def test_an_upload_is_found_again_by_its_session(store):
    upload = await fill(store, CONTENT[:100_000])

    again, is_owner = await store.stage(OWNER, session=upload.id)
    await more(again, CONTENT[100_000:])
    await store.commit(changes_for(again, DIGEST))

    assert not is_owner
    assert pull(store, DIGEST) == CONTENT


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param(Owner(IMAGE, "somebody else"), id="principal"),
        pytest.param(Owner(OTHER, "admin"), id="image"),
        pytest.param(Owner(ImageName("local/secret", "a"), "admin"), id="repository"),
    ],
)
async def test_an_upload_of_another_is_unknown(store, owner):
    upload = await fill(store, CONTENT)

    with pytest.raises(UploadUnknown):
        await store.stage(owner, session=upload.id)
    with pytest.raises(UploadUnknown):
        await store.commit([Adopt(upload.id, DIGEST, owner)])

    assert not has(store, DIGEST)


@pytest.mark.parametrize("session", ["", "x", "../../etc/passwd", "0" * 64, "é" * 64, "00 " * 32])
async def test_an_id_that_was_never_given_out_is_unknown(store, session):
    with pytest.raises(UploadUnknown):
        await store.stage(OWNER, session=session)


async def test_a_cancelled_upload_is_gone(store):
    upload = await fill(store, CONTENT)

    await upload.cancel()

    for attempt in (
        lambda: store.stage(OWNER, session=upload.id),
        lambda: upload.append(upload.size, b"more"),
        lambda: upload.cancel(),
        lambda: store.commit(changes_for(upload, DIGEST)),
        lambda: store.wait_grown(upload, upload.size),
    ):
        with pytest.raises(UploadUnknown):
            await attempt()
    assert not has(store, DIGEST)


async def test_a_committed_upload_is_gone(store):
    upload = await fill(store, CONTENT)

    await store.commit(changes_for(upload, DIGEST))

    for attempt in (
        lambda: store.stage(OWNER, session=upload.id),
        lambda: upload.append(upload.size, b"more"),
        lambda: upload.cancel(),
        lambda: store.commit(changes_for(upload, DIGEST)),
    ):
        with pytest.raises(UploadUnknown):
            await attempt()


async def test_an_append_and_a_commit_at_once_never_both_succeed(store):
    content = noise(8 << 20)
    upload = await fill(store, content)
    digest = Digest.of(content)
    done = []

    async def attempt(call, *args):
        with suppress(UploadSealed, UploadUnknown, DigestMismatch):
            await call(*args)
            done.append(call)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt, store.commit, changes_for(upload, digest))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(attempt, upload.append, upload.size, b"more")

    assert len(done) <= 1
    assert has(store, digest) == (done == [store.commit])


async def test_of_two_commits_of_one_upload_one_succeeds(store):
    content = noise(2 << 20)
    upload = await fill(store, content)
    refused = []

    async def commit():
        try:
            await store.commit(changes_for(upload, Digest.of(content)))
        except (UploadSealed, UploadUnknown) as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(commit)
        nursery.start_soon(commit)

    assert len(refused) == 1
    assert pull(store, Digest.of(content)) == content


# --- followers and single flight ---


async def test_a_follower_is_woken_by_every_append(store):
    upload, _ = await store.stage(OWNER)
    sizes = []

    async def follow(offset):
        sizes.append(await store.wait_grown(upload, offset))

    for offset in (0, 2, 4):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow, offset)
            await trio.testing.wait_all_tasks_blocked()
            await upload.append(offset, b"ab")

    assert sizes == [2, 4, 6]


async def test_a_follower_of_a_committed_upload_is_told_its_end(store):
    upload = await fill(store, CONTENT)
    ends = []

    async def follow():
        ends.append(await store.wait_grown(upload, len(CONTENT)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        await store.commit(changes_for(upload, DIGEST))

    assert ends == [len(CONTENT)]
    assert await store.wait_grown(upload, len(CONTENT)) == len(CONTENT)


async def test_a_follower_of_a_cancelled_upload_is_told_that_it_is_unknown(store):
    upload = await fill(store, CONTENT)
    told = []

    async def follow():
        try:
            await store.wait_grown(upload, len(CONTENT))
        except UploadUnknown as error:
            told.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        await upload.cancel()

    assert len(told) == 1


async def test_a_key_is_one_upload_with_one_owner(store):
    first, is_first = await store.stage(OWNER, key="upstream/nginx")
    second, is_second = await store.stage(OWNER, key="upstream/nginx")
    other, is_other = await store.stage(OWNER, key="upstream/redis")

    assert (is_first, is_second, is_other) == (True, False, True)
    assert first.id == second.id != other.id


@pytest.mark.parametrize("end", ["cancel", "commit"])
async def test_a_key_is_free_again_when_its_upload_ended(store, end):
    upload, _ = await store.stage(OWNER, key="upstream/nginx")
    await more(upload, CONTENT)

    if end == "cancel":
        await upload.cancel()
    else:
        await store.commit(changes_for(upload, DIGEST))
    again, is_owner = await store.stage(OWNER, key="upstream/nginx")

    assert is_owner
    assert again.id != upload.id


async def test_what_is_under_way_is_listed_the_newest_first(store):
    key = f"blob {DIGEST}"
    first = await fill(store, CONTENT[:1000])
    await store.stage(Owner.of_key(key, "sha256"), key=key)
    ended, _ = await store.stage(OWNER)
    await ended.cancel()
    await trio.sleep(0.05)
    await first.append(1000, CONTENT[1000:3000])

    pushed, fetched = await store.under_way()

    assert (pushed.image, pushed.principal, pushed.key) == (str(IMAGE), OWNER.principal, "")
    assert (pushed.size, fetched.size) == (3000, 0)
    assert (fetched.image, fetched.principal, fetched.key) == ("", "", key)
    assert 0 <= pushed.idle_seconds < fetched.idle_seconds < 20
