"""Who is ended when."""

import trio

from frontend.server.deadlines import TICK, Deadlines


class One:
    """Something with a deadline."""

    def __init__(self, deadline=float("inf")):
        self.deadline = deadline
        self.ends = []

    def expire(self):
        self.ends.append("expired")
        self.deadline = float("inf")

    def drain(self):
        self.ends.append("drained")


async def test_what_is_due_is_ended_and_nothing_else(autojump_clock):
    deadlines = Deadlines()
    early, late, never = One(trio.current_time() + 1), One(trio.current_time() + 100), One()
    with deadlines.watching(early), deadlines.watching(late), deadlines.watching(never):
        with trio.move_on_after(1 + 2 * TICK):
            await deadlines.run()

        assert [one.ends for one in (early, late, never)] == [["expired"], [], []]


async def test_what_is_over_is_not_watched_any_more(autojump_clock):
    deadlines, one = Deadlines(), One(0.0)
    with deadlines.watching(one):
        pass

    with trio.move_on_after(1):
        await deadlines.run()
    deadlines.drain()

    assert one.ends == []


async def test_draining_is_said_to_all_and_remembered():
    deadlines, one = Deadlines(), One()
    with deadlines.watching(one):
        deadlines.drain()

    assert one.ends == ["drained"]
    assert deadlines.is_draining
