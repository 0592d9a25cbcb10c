"""Upload sessions whose bytes other processes append, and whose owners are in other processes."""

import fcntl

import pytest
import trio

from cas import layout
from cas.digest import Digest
from cas.errors import UploadOrphaned, UploadUnknown
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

    assert await idle.wait_grown(OWNER, ended[1].id, 3) == (3, True, True)
    assert await idle.wait_grown(OWNER, ended[2].id, 3) == (3, True, True)
    with pytest.raises(UploadUnknown):  # too many since
        await idle.wait_grown(OWNER, ended[0].id, 3)
    with pytest.raises(UploadUnknown):  # and it is nobody else's
        await idle.wait_grown(OTHERS, ended[2].id, 3)


async def test_who_asks_while_a_commit_has_taken_the_name_away_waits_for_its_end(idle):
    session = await begin(idle, b"abc")
    await idle.seal(session)
    staging.remove(session.path)
    told = []

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def follow():
            told.append(await idle.wait_grown(OWNER, session.id, 3))

        await trio.testing.wait_all_tasks_blocked()
        idle.forget(session, is_committed=True)

    assert [growth[:2] for growth in told] == [(3, True)]


async def test_after_a_restart_a_key_is_an_orphan_until_somebody_appends(idle):
    session, _ = await idle.stage(OWNER, None, "key")
    await session.append(0, b"abc")
    restarted = Sessions(idle.root, SECRET, 0)

    assert await restarted.wait_grown(session.owner, session.id, 0) == (3, False, False)
    with pytest.raises(UploadOrphaned):
        await restarted.wait_grown(session.owner, session.id, 3)
    found = restarted.find(session.owner, session.id)
    restarted.own(found)

    assert await restarted.stage(OWNER, None, "key") == (found, False)


async def test_after_a_restart_who_knows_the_session_of_a_key_goes_on_with_it(idle):
    session, _ = await idle.stage(OWNER, None, "key")
    await session.append(0, b"abc")
    restarted = Sessions(idle.root, SECRET, 0)

    found, is_owner = await restarted.stage(OTHERS, session.id, "key")

    assert (found.id, found.size, is_owner) == (session.id, 3, True)
    assert await restarted.stage(OWNER, session.id, "key") == (found, False)


async def test_after_a_restart_a_key_that_began_anew_leaves_its_former_owner_behind(idle):
    session, _ = await idle.stage(OWNER, None, "key")
    restarted = Sessions(idle.root, SECRET, 0)
    new, is_owner = await restarted.stage(OWNER, None, "key")
    former = restarted.find(session.owner, session.id)

    assert is_owner
    assert await restarted.stage(OWNER, session.id, "key") == (new, False)
    with pytest.raises(UploadUnknown):
        restarted.own(former)
    with pytest.raises(UploadUnknown):
        await restarted.wait_grown(session.owner, session.id, 0)


async def test_the_session_of_one_key_is_unknown_under_another(idle):
    session, _ = await idle.stage(OWNER, None, "key")

    with pytest.raises(UploadUnknown):
        await idle.stage(OWNER, session.id, "another")
    with pytest.raises(UploadUnknown):
        await idle.stage(OWNER, session.id, None)


async def test_followers_hear_of_growth_that_only_a_look_at_the_file_found(idle):
    session = await begin(idle, b"abc")
    sizes = []

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def follow():
            sizes.append(await idle.wait_grown(OWNER, session.id, 3))

        await trio.testing.wait_all_tasks_blocked()
        staging.append(session.path, 3, b"def")
        idle.find(OWNER, session.id)

    assert sizes == [(6, False, False)]


async def test_an_orphan_keeps_its_bytes_for_whoever_comes_next(idle):
    session, _ = await idle.stage(OWNER, None, "key")
    await session.append(0, b"abc")

    await idle.leave(session)
    await idle.leave(session)

    assert await idle.stage(OTHERS, None, "key") == (session, True)
    assert await idle.stage(OTHERS, None, "key") == (session, False)
    assert session.size == 3


async def test_an_orphan_that_nobody_takes_ends_and_frees_its_key(idle):
    session, _ = await idle.stage(OWNER, None, "key")
    kept, _ = await idle.stage(OWNER, None, "another")
    assert idle.end_orphans(-1) == 0

    await idle.leave(session)

    assert idle.end_orphans(60) == 0
    assert idle.end_orphans(-1) == 1
    assert files(idle.root / layout.UPLOADS) == [kept.id]
    assert (await idle.stage(OWNER, None, "key"))[1]


async def test_an_upload_that_is_being_committed_is_an_orphan_when_that_fails(idle):
    session, _ = await idle.stage(OWNER, None, "key")
    await idle.seal(session)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(idle.leave, session)
        await trio.testing.wait_all_tasks_blocked()
        assert not session.is_orphan
        idle.unseal(session)

    assert session.is_orphan
    assert await idle.stage(OWNER, None, "key") == (session, True)


async def test_an_upload_that_is_being_sealed_is_an_orphan_when_that_fails(idle):
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
            nursery.start_soon(idle.leave, session)
            await trio.testing.wait_all_tasks_blocked()
            session.path.unlink()
            fcntl.flock(file, fcntl.LOCK_UN)

    assert session.is_orphan


async def test_an_orphan_that_is_committed_yet_is_left_alone(idle):
    session, _ = await idle.stage(OWNER, None, "key")
    await idle.seal(session)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(idle.leave, session)
        await trio.testing.wait_all_tasks_blocked()
        idle.forget(session, is_committed=True)

    assert session.path.exists()  # it is a pack by now, or its bytes are; commits remove the name
