"""Who is ahead, and a listener that several accept on."""

import os
import socket

import trio
from hypothesis import given, strategies as st

from frontend.server.accepting import accept
from frontend.workers.shares import SLOTS, Shares


def made(*counts):
    shares = Shares.make()
    found = []
    for slot, count in enumerate(counts):
        share = shares.share(slot)
        for _ in range(count):
            share.enter()
        found.append(share)
    return shares, found


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8))
def test_somebody_is_always_free_to_accept(counts):
    _, shares = made(*counts)

    assert not all(share.is_ahead() for share in shares)
    assert not shares[counts.index(min(counts))].is_ahead()


def test_one_who_has_more_waits_for_the_others():
    _, (busy, idle) = made(1, 0)

    assert busy.is_ahead()
    assert not idle.is_ahead()
    busy.leave()
    assert not busy.is_ahead()


def test_one_who_is_gone_holds_nobody_up():
    shares, (busy, gone) = made(1, 0)

    shares.clear(1)
    assert not busy.is_ahead()
    gone.leave()  # a connection that ended after its worker stopped accepting
    assert not busy.is_ahead()


def test_nobody_is_ahead_when_all_are_gone():
    shares, (first, last) = made(0, 3)

    shares.clear(0)
    shares.clear(1)
    assert not first.is_ahead()
    assert not last.is_ahead()


def test_another_process_sees_the_same_page():
    shares, (first,) = made(3)
    other = Shares(os.dup(shares.descriptor)).share(SLOTS - 1)

    assert first.is_ahead()
    assert not other.is_ahead()
    assert shares.free_slot({0, 2}) == 1


async def accepted(numbers, connections):
    """How many connections each of several processes got, of so many opened at once."""
    _, shares = made(*[0] * numbers)
    counts = [0] * numbers
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(128)
        everybody = trio.Event()
        peers = [socket.create_connection(bound.getsockname()) for _ in range(connections)]
        async with trio.open_nursery() as nursery:
            for number, share in enumerate(shares):

                async def handle(_, number=number):
                    counts[number] += 1
                    if sum(counts) == connections:
                        everybody.set()
                    await trio.sleep_forever()

                listener = trio.SocketListener(trio.socket.from_stdlib_socket(bound.dup()))
                nursery.start_soon(accept, listener, handle, nursery, share)
            with trio.fail_after(20):
                await everybody.wait()
            nursery.cancel_scope.cancel()
        for peer in peers:
            peer.close()
    return counts


async def test_connections_opened_at_once_are_shared():
    for connections in (16, 64):
        counts = await accepted(2, connections)

        assert sum(counts) == connections
        assert abs(counts[0] - counts[1]) <= 2 + connections // 16, counts


async def test_a_process_that_is_stuck_holds_nobody_up():
    _, (alone, _) = made(0, 0)  # the other one never accepts
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(128)
        peers = [socket.create_connection(bound.getsockname()) for _ in range(20)]
        served = []
        everybody = trio.Event()

        async def handle(stream):
            served.append(stream)
            if len(served) == len(peers):
                everybody.set()
            await trio.sleep_forever()

        listener = trio.SocketListener(trio.socket.from_stdlib_socket(bound.dup()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept, listener, handle, nursery, alone)
            with trio.fail_after(20):
                await everybody.wait()
            nursery.cancel_scope.cancel()
        for peer in peers:
            peer.close()
