import struct
from contextlib import suppress

import pytest
import trio

from cas import layout
from cas.digest import Digest
from cas.errors import BlobUnknown, DaemonAway, StoreFailed
from cas.remote import channel as channels, daemon, wire
from cas.remote.calls import Calls
from cas.remote.channel import Channel, Hangup
from cas.sockets import DAEMON_SOCKET, connected_path
from index.changes import PutObject
from tests.cas.pushing import IMAGE, OWNER, files, has
from tests.cas.serving import Gate, served, stage

DIGEST = Digest.of(b"x")
EXTEND = wire.Extend(IMAGE, DIGEST)


@pytest.fixture
async def path(store, tmp_path):
    async with served(store, tmp_path):
        yield tmp_path / DAEMON_SOCKET


@pytest.fixture
def calls(path):
    found = Calls(path, StoreFailed)
    yield found
    found.close()


async def dial(path) -> Channel:
    with connected_path(path) as short:
        return Channel((await trio.open_unix_socket(short)).socket)


async def greeted(path) -> Channel:
    """A connection on which the next frame is a request."""
    channel = await dial(path)
    await channel.receive()
    await channel.send(wire.Hello(wire.SHAPE, b"somebody"))
    return channel


async def wait_for_the_end(channel: Channel) -> None:
    """Wait until the daemon hangs up, whatever it says before."""
    with trio.fail_after(5), suppress(Hangup):
        while True:
            await channel.receive()
    channel.close()


async def ask(calls: Calls) -> None:
    """A call whose answer comes from the store."""
    with pytest.raises(BlobUnknown):
        await calls.call(EXTEND, wire.Done)


async def test_the_daemon_says_its_version_before_it_has_read_anything(path):
    channel = await dial(path)

    assert wire.reply(await channel.receive()) == wire.Welcome(wire.SHAPE)
    channel.close()


async def test_a_call_is_answered_and_its_connection_is_used_again(calls, monkeypatch):
    await ask(calls)
    monkeypatch.setattr(calls, "_connect", None)

    await ask(calls)


# --- the fence ---


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="another protocol"),
        pytest.param(struct.pack(">I", wire.MAX_FRAME + 1), id="a frame too large"),
        pytest.param(struct.pack(">I", 3) + b"\xff\xff\xff", id="garbage in a frame"),
        pytest.param(wire.frame(EXTEND), id="no greeting"),
        pytest.param(wire.frame(wire.Hello("another", b"x")), id="another version"),
        pytest.param(wire.frame(wire.Hello(wire.SHAPE, b"x")) * 2, id="two greetings"),
        pytest.param(
            wire.frame(wire.Hello(wire.SHAPE, b"x"))
            + wire.frame(wire.Commit((("eval", wire.msgspec.Raw(b"\xc0")),), ())),
            id="a change of no type",
        ),
    ],
)
async def test_who_sends_no_message_of_ours_is_hung_up_on_alone(path, calls, sent):
    await ask(calls)
    channel = await dial(path)
    await channel.receive()

    with suppress(OSError):
        await channel._socket.send(sent)
    await wait_for_the_end(channel)

    assert calls._idle[0].is_quiet
    await ask(calls)


async def test_two_requests_at_once_are_a_hangup(path):
    channel = await greeted(path)

    await channel._socket.send(wire.frame(EXTEND) * 2)

    await wait_for_the_end(channel)


async def test_who_stops_within_a_frame_is_hung_up_on_and_others_go_on(path, calls, monkeypatch):
    monkeypatch.setattr(channels, "STALL_SECONDS", 0.05)
    channel = await greeted(path)

    await channel._socket.send(wire.frame(EXTEND)[:-1])

    await ask(calls)
    await wait_for_the_end(channel)


async def test_a_process_of_another_user_is_hung_up_on(path, calls, monkeypatch):
    monkeypatch.setattr(daemon, "is_own_peer", lambda _: False)

    with pytest.raises(DaemonAway):
        await stage(calls)


async def test_connections_are_bounded(path, calls, monkeypatch):
    monkeypatch.setattr(daemon, "MAX_CONNECTIONS", 1)
    channel = await greeted(path)

    with pytest.raises(DaemonAway):
        await stage(calls)
    channel.close()

    with trio.fail_after(5):
        while True:  # its place is free as soon as its end was noticed
            with suppress(DaemonAway):
                await stage(calls)
                break


async def test_a_bug_in_one_call_is_told_and_logged_and_the_connection_goes_on(
    store, calls, monkeypatch, caplog
):
    async def broken(image, digest):
        raise KeyError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(store, "extend", broken)
        with pytest.raises(RuntimeError, match="KeyError: 'a bug'"):
            await calls.call(EXTEND, wire.Done)

    assert "a call failed: Extend" in caplog.text
    assert calls._idle[0].is_quiet
    await ask(calls)


async def test_an_error_of_the_system_is_told_as_what_it_means(store, calls, monkeypatch):
    async def full(image, digest):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "extend", full)

    with pytest.raises(wire.cas.StorageFull):
        await calls.call(EXTEND, wire.Done)


# --- cancelling ---


async def test_to_cancel_a_call_cancels_it_in_the_daemon(store, calls, monkeypatch):
    monkeypatch.setattr(store, "extend", gate := Gate(is_shielded=False))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(calls.call, EXTEND, wire.Done)
        await gate.begun.wait()
        nursery.cancel_scope.cancel()

    with trio.fail_after(5):
        await gate.ended.wait()
    assert gate.is_cancelled
    assert calls._idle == []


async def test_what_does_not_let_itself_be_cancelled_is_done_all_the_same(
    store, calls, monkeypatch
):
    monkeypatch.setattr(store, "extend", gate := Gate(is_shielded=True))
    content = b"committed although nobody waits"
    digest = Digest.of(content)

    async def commit(changes, expectations):
        await gate(None, None)
        return await type(store).commit(store, changes, expectations)

    monkeypatch.setattr(store, "commit", commit)
    request = wire.Commit((wire.named(PutObject(digest.key, content)),), ())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(calls.call, request, wire.Number)
        await gate.begun.wait()
        nursery.cancel_scope.cancel()
    gate.go.set()

    with trio.fail_after(5):
        while not has(store, digest):
            await trio.lowlevel.checkpoint()


async def test_what_was_done_when_the_daemon_stops_is_answered_yet(store, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "extend", gate := Gate(is_shielded=True))
    answers = []

    async with trio.open_nursery() as nursery, served(store, tmp_path) as scope:
        calls = Calls(tmp_path / DAEMON_SOCKET, StoreFailed)

        async def call():
            answers.append(await calls.call(EXTEND, wire.Done))

        nursery.start_soon(call)
        await gate.begun.wait()
        scope.cancel()
        gate.go.set()

    assert answers == [wire.Done()]
    calls.close()


async def test_who_waits_hears_that_the_daemon_is_at_work_also_while_it_stops(
    store, tmp_path, monkeypatch
):
    monkeypatch.setattr(daemon, "AT_WORK_SECONDS", 0.01)
    monkeypatch.setattr(store, "extend", gate := Gate(is_shielded=True))

    async with trio.open_nursery() as nursery, served(store, tmp_path) as scope:

        @nursery.start_soon
        async def call():
            with trio.fail_after(5):
                channel = await greeted(tmp_path / DAEMON_SOCKET)
                await channel.send(EXTEND)
                for _ in range(2):
                    assert wire.reply(await channel.receive()) == wire.AtWork()
                scope.cancel()
                for _ in range(2):
                    assert wire.reply(await channel.receive()) == wire.AtWork()
                gate.go.set()
                while (reply := wire.reply(await channel.receive())) == wire.AtWork():
                    pass
                assert reply == wire.Done()
                channel.close()

        await gate.ended.wait()


async def test_a_new_upload_that_nobody_learned_of_is_thrown_away(
    store, path, tmp_path, monkeypatch
):
    gate = Gate(is_shielded=True)

    async def late(owner, **how):
        found = await type(store).stage(store, owner, **how)
        await gate(None, None)
        return found

    monkeypatch.setattr(store, "stage", late)
    channel = await greeted(path)
    await channel.send(wire.Stage(OWNER, None, None))
    await gate.begun.wait()
    assert len(files(tmp_path / layout.UPLOADS)) == 1

    channel.close()
    gate.go.set()

    with trio.fail_after(5):
        while files(tmp_path / layout.UPLOADS):
            await trio.lowlevel.checkpoint()
