"""Keys of clients that come and go: who appends, who goes on, what is left."""

import pytest
import trio

from cas.errors import DaemonAway, StoreFailed, UploadOrphaned
from cas.remote import wire
from cas.remote.calls import Calls
from cas.sockets import DAEMON_SOCKET
from tests.cas.pushing import OWNER
from tests.cas.serving import Gate, served, stage


@pytest.fixture
async def path(store, tmp_path):
    async with served(store, tmp_path):
        yield tmp_path / DAEMON_SOCKET


@pytest.fixture
def calls(path):
    found = Calls(path, StoreFailed)
    yield found
    found.close()


async def test_what_was_taken_over_for_nobody_is_an_orphan_again(store, path, monkeypatch):
    calls = Calls(path, StoreFailed)
    left, _ = await store.stage(OWNER, key="key")
    await left.append(0, b"abc")
    await left.leave()
    gate = Gate(is_shielded=True)

    async def late(owner, **how):
        found = await type(store).stage(store, owner, **how)
        await gate(None, None)
        return found

    await calls.be_present()
    monkeypatch.setattr(store, "stage", late)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(calls.call, wire.Stage(OWNER, None, "key"), wire.Staged)
        await gate.begun.wait()
        nursery.cancel_scope.cancel()
    gate.go.set()

    with trio.fail_after(5):
        while not left.is_orphan:
            await trio.lowlevel.checkpoint()
    monkeypatch.undo()
    assert (await stage(calls, "key")).size == 3
    calls.close()


async def test_what_another_client_took_over_does_not_end_with_the_first(path):
    first, second = Calls(path, StoreFailed), Calls(path, StoreFailed)
    keyed = await stage(first, "key")
    await first.call(wire.Leave(keyed.owner, keyed.session), wire.Done)
    assert (await stage(second, "key")).is_owner

    first.close()
    with trio.move_on_after(0.05):
        await second.call(wire.WaitGrown(keyed.owner, keyed.session, 0), wire.Growth)
        raise AssertionError("nothing grew")
    second.close()


async def test_the_keys_of_a_client_that_died_pass_on_and_its_other_uploads_stay(path):
    first, second = Calls(path, StoreFailed), Calls(path, StoreFailed)
    keyed = await stage(first, "upstream/nginx")
    plain = await stage(first)
    followed = await stage(second, "upstream/nginx")
    assert (followed.session, followed.is_owner) == (keyed.session, False)
    told = trio.Event()

    async def follow():
        waiting = wire.WaitGrown(followed.owner, followed.session, 0)
        with pytest.raises(UploadOrphaned):
            await second.call(waiting, wire.Growth, second.followers)
        told.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        first.close()
        with trio.fail_after(5):
            await told.wait()

    assert (await stage(second, "upstream/nginx")).is_owner
    again = wire.Stage(plain.owner, plain.session, None)
    assert (await second.call(again, wire.Staged)).session == plain.session
    second.close()


async def test_the_end_of_a_follower_leaves_the_key_to_its_owner(path):
    first, second = Calls(path, StoreFailed), Calls(path, StoreFailed)
    keyed = await stage(first, "upstream/nginx")
    assert not (await stage(second, "upstream/nginx")).is_owner
    other = await stage(second, "upstream/redis")

    second.close()
    waiting = wire.WaitGrown(other.owner, other.session, 0)
    with trio.fail_after(5), pytest.raises(UploadOrphaned):
        await first.call(waiting, wire.Growth, first.followers)

    found = await stage(first, "upstream/nginx")
    assert (found.session, found.is_owner) == (keyed.session, False)
    first.close()


async def test_a_key_is_given_only_to_a_client_that_is_present(calls):
    with pytest.raises(DaemonAway):
        await calls.call_whole(wire.Stage(OWNER, None, "key"), wire.Staged)


async def test_a_client_whose_presence_broke_shows_itself_again(calls):
    await stage(calls, "first")
    calls._presence.close()
    calls._presence = None

    assert (await stage(calls, "second")).is_owner
    assert (await stage(calls, "second")).is_owner is False
