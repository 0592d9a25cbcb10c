import socket

import pytest
import trio

from cas.remote import channel as module, wire
from cas.remote.channel import Channel, Hangup


@pytest.fixture
async def ends():
    """Both ends of a connection."""
    pair = [Channel(trio.socket.from_stdlib_socket(end)) for end in socket.socketpair()]
    yield pair
    for end in pair:
        end.close()


async def test_messages_of_any_size_arrive_one_by_one(ends):
    ours, theirs = ends
    sent = [wire.Number(1), wire.Broke("x" * (4 << 20)), wire.Done()]

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def send():
            for message in sent:
                await ours.send(message)

        received = [wire.reply(await theirs.receive()) for _ in sent]

    assert received == sent
    assert not theirs.is_ahead


async def test_a_peer_that_takes_nothing_is_hung_up_on(ends, monkeypatch):
    monkeypatch.setattr(module, "STALL_SECONDS", 0.02)

    with trio.fail_after(5), pytest.raises(Hangup):
        await ends[0].send(wire.Broke("x" * (4 << 20)))


async def test_a_peer_that_stops_within_a_frame_is_hung_up_on(ends, monkeypatch):
    monkeypatch.setattr(module, "STALL_SECONDS", 0.02)
    await ends[0]._socket.send(wire.frame(wire.Done())[:5])

    with trio.fail_after(5), pytest.raises(Hangup):
        await ends[1].receive()


async def test_a_peer_may_be_silent_between_frames(ends, monkeypatch):
    monkeypatch.setattr(module, "STALL_SECONDS", 0.0)

    with trio.move_on_after(0.02) as waiting:
        await ends[1].receive()

    assert waiting.cancelled_caught


async def test_to_listen_or_talk_to_a_peer_that_left_is_a_hangup(ends):
    ours, theirs = ends
    theirs.close()

    with pytest.raises(Hangup):
        await ours.receive()
    with pytest.raises(Hangup):
        await ours.send(wire.Done())
    await ours.wait_hangup()


async def test_quiet_is_who_is_there_and_says_nothing(ends):
    ours, theirs = ends
    assert ours.is_quiet

    await theirs.send(wire.Done())
    assert not ours.is_quiet

    await ours.receive()
    assert ours.is_quiet

    theirs.close()
    assert not ours.is_quiet


async def test_what_is_mentioned_never_comes_between_and_never_waits(ends):
    ours, theirs = ends
    large = wire.Broke("x" * (4 << 20))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.send, large)
        await trio.testing.wait_all_tasks_blocked()
        ours.mention(wire.AtWork())
        assert wire.reply(await theirs.receive()) == large

    for _ in range(10_000):  # far more than fits
        ours.mention(wire.AtWork())
    assert wire.reply(await theirs.receive()) == wire.AtWork()

    theirs.close()
    ours.mention(wire.AtWork())


async def test_what_does_not_fit_a_frame_leaves_the_connection_as_it_was(ends):
    with pytest.raises(wire.cas.ObjectTooLarge):
        await ends[0].send(wire.Broke("x" * wire.MAX_FRAME))

    assert ends[1].is_quiet
