from contextlib import suppress

import pytest
import trio

from cas import layout
from cas.digest import Digest
from cas.errors import DaemonAway, ObjectTooLarge, StoreFailed
from cas.remote import calls, wire
from cas.remote.client import RemoteUpload
from cas.uploads import staging
from cas.verbs import Fsck
from index.changes import Link, PutObject
from tests.cas.daemons import listening
from tests.cas.pushing import IMAGE, OWNER, noise
from tests.cas.scripting import accepting, connected, scripted

DIGEST = Digest.of(noise(200_000))  # what `root` has


async def answer_always(channel):
    while True:
        await channel.receive()
        await channel.send(wire.Number(7))


# --- a daemon that does not answer ---


async def test_a_socket_on_which_nobody_accepts_is_a_daemon_that_is_away(root, monkeypatch):
    monkeypatch.setattr(calls, "_WELCOME_SECONDS", 0.02)

    with listening(root):
        async with connected(root) as store:
            with pytest.raises(DaemonAway):
                await store.extend(IMAGE, DIGEST)


async def test_a_connection_that_breaks_before_the_answer_is_not_tried_again(root):
    asked = []

    async def break_at_first(channel):
        asked.append(wire.request(await channel.receive()))
        if len(asked) > 1:
            await channel.send(wire.Done())

    async with scripted(root, break_at_first), connected(root) as store:
        with pytest.raises(DaemonAway):
            await store.extend(IMAGE, DIGEST)
        assert len(asked) == 1

        await store.extend(IMAGE, DIGEST)
        assert len(asked) == 2


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(wire.frame(wire.Number(1)), id="another answer"),
        pytest.param(b"\0\0\0\1\xff", id="garbage"),
        pytest.param(b"\xff" * 8, id="a frame too large"),
        pytest.param(wire.frame(wire.Failed(("eval", wire.msgspec.Raw(b"\xc0")))), id="no error"),
    ],
)
async def test_a_daemon_that_talks_nonsense_is_away(root, said):
    async def talk(channel):
        await channel.receive()
        await channel._socket.send(said)
        await channel.wait_hangup()

    async with scripted(root, talk), connected(root) as store:
        with pytest.raises(DaemonAway):
            await store.extend(IMAGE, DIGEST)


# --- versions ---


def of_another_version(root):
    async def greet(channel):
        await channel.send(wire.Welcome("another version"))
        await channel.wait_hangup()

    return accepting(root, greet)


async def test_a_worker_does_not_start_beside_a_daemon_of_another_version(root):
    async with of_another_version(root):
        with pytest.raises(StoreFailed, match="another version: restart both"):
            async with connected(root):
                pass


async def test_a_worker_ends_when_it_meets_a_daemon_of_another_version(root):
    async def work():
        async with connected(root) as store:
            async with of_another_version(root):
                with suppress(StoreFailed):
                    await store.extend(IMAGE, DIGEST)
            await trio.sleep_forever()

    with pytest.raises(StoreFailed, match="another version: restart both"):
        await work()


# --- calls ---


async def test_a_cancelled_call_hangs_up(root):
    asked, left = trio.Event(), trio.Event()

    async def note(channel):
        await channel.receive()
        asked.set()
        await channel.wait_hangup()
        left.set()

    async with scripted(root, note), connected(root) as store:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.extend, IMAGE, DIGEST)
            await asked.wait()
            nursery.cancel_scope.cancel()

        with trio.fail_after(5):
            await left.wait()


async def test_who_is_cancelled_while_staging_still_learns_of_the_upload(root):
    staged = wire.Staged("0" * 64, 7, OWNER, is_owner=True)
    scope = trio.CancelScope()

    async def cancel_first(channel):
        await channel.receive()
        scope.cancel()
        await channel.send(staged)
        await channel.wait_hangup()

    async with scripted(root, cancel_first), connected(root) as store:
        with scope:
            upload, is_owner = await store.stage(OWNER)

        assert (upload.id, upload.size, is_owner) == (staged.session, 7, True)


async def test_a_daemon_that_never_answers_does_not_hold_up_who_stages(root, monkeypatch):
    monkeypatch.setattr(calls, "_STAGE_SECONDS", 0.02)

    async def ignore(channel):
        await channel.receive()
        await channel.wait_hangup()

    async with scripted(root, ignore), connected(root) as store:
        with pytest.raises(DaemonAway):
            await store.stage(OWNER)


async def test_a_daemon_that_says_nothing_is_away(root, monkeypatch):
    monkeypatch.setattr(calls, "SILENCE_SECONDS", 0.02)

    async def ignore(channel):
        await channel.receive()
        await channel.wait_hangup()

    async with scripted(root, ignore), connected(root) as store:
        with trio.fail_after(5), pytest.raises(DaemonAway):
            await store.commit([])
        with trio.fail_after(5), pytest.raises(DaemonAway):
            async for _ in store.maintain(Fsck()):
                pass


async def test_a_daemon_that_is_at_work_is_waited_for(root):
    async def take_long(channel):
        await channel.receive()
        for _ in range(3):
            channel.mention(wire.AtWork())
        await channel.send(wire.Number(7))

    async with scripted(root, take_long), connected(root) as store:
        assert await store.commit([]) == 7


async def test_calls_are_few_at_once_and_neither_followers_nor_appends_hold_them_up(
    root, monkeypatch
):
    monkeypatch.setattr(calls, "MAX_CALLS", 2)
    monkeypatch.setattr(calls, "MAX_FOLLOWERS", 1)
    under_way = set()
    most = [0]

    async def count(channel):
        while True:
            request = wire.request(await channel.receive())
            if isinstance(request, wire.WaitGrown | wire.Grown):
                await trio.sleep_forever()
            under_way.add(channel)
            most[0] = max(most[0], len(under_way))
            await trio.testing.wait_all_tasks_blocked()
            under_way.discard(channel)
            await channel.send(wire.Done())

    staging.create(layout.upload_path(root, "0" * 64))
    async with scripted(root, count), connected(root) as store:
        upload = RemoteUpload(store, wire.Staged("0" * 64, 0, OWNER, is_owner=True))
        async with trio.open_nursery() as outer:
            for _ in range(3):
                outer.start_soon(store.wait_grown, upload, 0)
                outer.start_soon(upload.append, 0, b"")
            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(store.extend, IMAGE, DIGEST)
            outer.cancel_scope.cancel()

    assert most == [2]


async def test_who_watches_maintenance_may_commit_between(daemons, root, monkeypatch):
    monkeypatch.setattr(calls, "MAX_CALLS", 2)  # of one task, which no limiter would lend two

    async with daemons.connected(root) as store:
        async for _ in store.maintain(Fsck()):
            await store.commit([Link(IMAGE, DIGEST.key, 60)])


async def test_what_is_too_large_is_refused_before_the_daemon_is_asked(root):
    limit = 16 << 20
    async with connected(root) as store:
        with pytest.raises(ObjectTooLarge):
            await store.commit([PutObject(DIGEST.key, bytes(limit + 1))])
    async with scripted(root, answer_always), connected(root) as store:
        with pytest.raises(ObjectTooLarge):
            await store.commit([PutObject(DIGEST.key, bytes(limit))] * 3)
        assert await store.commit([]) == 7
