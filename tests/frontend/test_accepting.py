"""Accepting goes on whatever happens to it."""

import errno
import logging
import socket

import pytest
import trio
import trio.testing

from frontend.server.accepting import BURST, accept, accept_from


class Stream(trio.abc.AsyncResource):
    def __init__(self) -> None:
        self.is_closed = False

    async def aclose(self):
        self.is_closed = True
        await trio.lowlevel.checkpoint()


class Listener(trio.abc.Listener):
    """Fails as it is told, one call after the other, and then has one connection."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.calls = 0
        self.is_spent = trio.Event()

    async def accept(self):
        await trio.lowlevel.checkpoint()
        self.calls += 1
        if self.codes:
            raise OSError(self.codes.pop(0), "no")
        if self.is_spent.is_set():
            await trio.sleep_forever()
        self.is_spent.set()
        return [Stream()]

    async def aclose(self):
        await trio.lowlevel.checkpoint()


async def accept_one(listener):
    accepted = []

    async def handle(stream):
        await trio.lowlevel.checkpoint()
        accepted.append(stream)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept_from, listener, handle, nursery)
        await listener.is_spent.wait()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return accepted


async def test_without_descriptors_it_is_tried_again_at_rest_and_said_once(autojump_clock, caplog):
    began = trio.current_time()

    accepted = await accept_one(Listener(*[errno.EMFILE] * 100))

    assert [stream.is_closed for stream in accepted] == [True]
    assert trio.current_time() - began == pytest.approx(10)  # a tenth of a second each
    lines = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert [each.exc_info for each in lines] == [None]


async def test_a_shortage_that_lasts_is_said_once_a_minute(autojump_clock, caplog):
    await accept_one(Listener(*[errno.ENFILE] * 1500))

    assert len(caplog.records) == 3


@pytest.mark.parametrize("code", [errno.ECONNABORTED, errno.EPROTO, errno.EHOSTUNREACH])
async def test_a_connection_that_was_lost_before_costs_no_other_and_no_word(
    autojump_clock, caplog, code
):
    assert len(await accept_one(Listener(code))) == 1
    assert caplog.records == []


async def test_a_listener_that_is_none_any_more_is_an_error():
    with pytest.RaisesGroup(OSError):
        await accept_one(Listener(errno.EINVAL))


async def test_all_that_are_there_are_taken_in_one_turn():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(2 * BURST)
        peers = [socket.create_connection(bound.getsockname()) for _ in range(BURST + 1)]
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(bound.dup()))
        rounds = Rounds()
        trio.lowlevel.add_instrument(rounds)
        taken_in = []
        everybody = trio.Event()

        async def handle(_):
            taken_in.append(rounds.count)
            if len(taken_in) == len(peers):
                everybody.set()
            await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept, listener, handle, nursery)
            with trio.fail_after(20):
                await everybody.wait()
            nursery.cancel_scope.cancel()
        trio.lowlevel.remove_instrument(rounds)
        for peer in peers:
            peer.close()

    assert len(set(taken_in[:BURST])) == 1  # and the one after them has its turn later
    assert taken_in[BURST] > taken_in[0]
    assert listener.socket.fileno() == -1


class Rounds(trio.abc.Instrument):
    """How often the loop went round."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout):
        self.count += 1
