"""Upload sessions whose bytes other processes append, and whose owners are in other processes."""

import fcntl

import pytest
import trio

from cas import layout
from cas.digest import Digest
from cas.errors import UploadUnknown
from cas.uploads import sessions, staging
from cas.uploads.sessions import Sessions
from cas.verbs import Owner
from tests.cas.pushing import OTHER, OWNER, files, noise
from tests.cas.staging_area import SECRET, begin, seal_and_finish

OTHERS = Owner(OTHER, "admin")


async def test_what_another_process_appended_and_never_told_of_is_found(idle):
    session = await begin(idle, b"abc")
    staging.append(session.path, 3, b"def")

    again, _ = await idle.stage(OWNER, session.id, None)

    assert again is session
    assert session.size == 6


async def test_what_another_process_appended_is_hashed_when_it_is_told_of(idle):
    content = noise(300_000)
    async with Sessions.open(idle.root, SECRET, 0) as found:
        session = await begin(found)
        staging.append(session.path, 0, content)

        assert await found.note_grown(session, len(content)) == len(content)

        assert await seal_and_finish(found, session) == Digest.of(content)


async def test_growth_may_be_told_of_in_the_other_order(idle):
    session = await begin(idle, b"abcdef")

    assert await idle.note_grown(session, 3) == 6


async def test_a_follower_that_comes_back_is_told_the_end_of_what_was_committed(idle, monkeypatch):
    monkeypatch.setattr(sessions, "COMMITTED", 2)
    ended = [await begin(idle, b"abc") for _ in range(3)]
    for session in ended:
        staging.remove(session.path)
        idle.forget(session, is_committed=True)

    assert await idle.wait_grown(OWNER, ended[1].id, 3, None) == 3
    assert await idle.wait_grown(OWNER, ended[2].id, 3, "key") == 3
    with pytest.raises(UploadUnknown):  # too many since
        await idle.wait_grown(OWNER, ended[0].id, 3, None)
    with pytest.raises(UploadUnknown):  # and it is nobody else's
        await idle.wait_grown(OTHERS, ended[2].id, 3, None)


async def test_a_follower_of_a_key_that_was_forgotten_is_told_to_begin_again(idle):
    session, _ = await idle.stage(OWNER, None, "key")
    await session.append(0, b"abc")
    assert await idle.wait_grown(OWNER, session.id, 0, "key") == 3

    restarted = Sessions(idle.root, SECRET, 0)

    assert await restarted.wait_grown(OWNER, session.id, 0, None) == 3
    with pytest.raises(UploadUnknown):
        await restarted.wait_grown(OWNER, session.id, 0, "key")
    assert (await restarted.stage(OWNER, None, "key"))[1]


async def test_followers_hear_of_growth_that_only_a_look_at_the_file_found(idle):
    session = await begin(idle, b"abc")
    sizes = []

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def follow():
            sizes.append(await idle.wait_grown(OWNER, session.id, 3, None))

        await trio.testing.wait_all_tasks_blocked()
        staging.append(session.path, 3, b"def")
        idle.find(OWNER, session.id)

    assert sizes == [6]


async def test_an_orphan_ends_and_frees_its_key(idle):
    session, _ = await idle.stage(OWNER, None, "key")

    await idle.end_orphan(session)
    await idle.end_orphan(session)

    assert files(idle.root / layout.UPLOADS) == []
    assert (await idle.stage(OWNER, None, "key"))[1]


async def test_an_orphan_that_is_being_committed_ends_when_that_fails(idle):
    session, _ = await idle.stage(OWNER, None, "key")
    await idle.seal(session)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(idle.end_orphan, session)
        await trio.testing.wait_all_tasks_blocked()
        assert not session.is_ended
        idle.unseal(session)

    assert session.is_ended
    assert files(idle.root / layout.UPLOADS) == []


async def test_an_orphan_ends_when_its_seal_fails(idle):
    session, _ = await idle.stage(OWNER, None, "key")

    async def seal():
        with pytest.raises(UploadUnknown):
            await idle.seal(session)

    with session.path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # an append under way: the seal waits for it
        async with trio.open_nursery() as nursery:
            nursery.start_soon(seal)
            while not session.is_sealed:
                await trio.lowlevel.checkpoint()
            nursery.start_soon(idle.end_orphan, session)
            await trio.testing.wait_all_tasks_blocked()
            session.path.unlink()
            fcntl.flock(file, fcntl.LOCK_UN)

    assert session.is_ended


async def test_an_orphan_that_is_committed_yet_is_left_alone(idle):
    session, _ = await idle.stage(OWNER, None, "key")
    await idle.seal(session)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(idle.end_orphan, session)
        await trio.testing.wait_all_tasks_blocked()
        idle.forget(session, is_committed=True)

    assert session.path.exists()  # it is a pack by now, or its bytes are; commits remove the name
