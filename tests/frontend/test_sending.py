"""What one answer sends before others have their turn."""

from itertools import pairwise

import trio

from frontend.domain.message import Slice
from frontend.server.sending import FIRST_TURN, send_parts
from frontend.server.wire import SEND_SLICE


class Wire:
    """Takes whatever comes."""

    has_sendfile = True
    sent = 0

    def begin(self):
        pass

    async def send(self, *data):
        await trio.lowlevel.checkpoint()


class Blob:
    """In memory, and checked; keeps what was asked for."""

    def __init__(self) -> None:
        self.turns = []

    def send(self, peer, start, stop):
        self.turns.append(stop - start)
        return stop - start


async def test_an_answer_begins_with_little_and_gives_way_after_each_turn():
    blob, seen, size = Blob(), [], 4 * SEND_SLICE

    async def watch():
        while sum(blob.turns) < size:
            seen.append(len(blob.turns))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await send_parts(Wire(), b"", [Slice(blob, 0, size)])

    doubled = [FIRST_TURN, 2 * FIRST_TURN, 4 * FIRST_TURN, 8 * FIRST_TURN]
    assert blob.turns[:4] == doubled
    assert set(blob.turns[4:-1]) == {SEND_SLICE}
    assert sum(blob.turns) == size
    steps = [later - earlier for earlier, later in pairwise(seen)]
    assert max(steps) <= 2  # each goes round once, one of them first
