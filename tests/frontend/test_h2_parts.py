"""What h2 counts and keeps for a client."""

import trio
import trio.testing

from frontend.server.h2 import NOISE_BURST, NOISE_RATE, Noise
from frontend.server.h2_exchange import Mailbox
from frontend.server.h2_sending import Pace
from frontend.server.wire import STALL_BYTES


def test_noise_is_borne_in_a_burst_and_steadily_and_no_further():
    noise = Noise(0.0)

    assert not noise.count(NOISE_BURST, 0.0)
    assert noise.count(1, 0.0)
    assert not noise.count(0, 1.0)
    assert all(not noise.count(int(NOISE_RATE), 2.0 + second) for second in range(100))
    assert noise.count(NOISE_BURST + 1, 1000.0)


async def test_an_answer_has_its_stall_limit_anew_with_every_so_many_bytes(autojump_clock):
    pace = Pace(10.0)
    began = trio.current_time()

    assert pace.ends() == began + 10
    await trio.sleep(4)
    pace.note(STALL_BYTES - 1)
    assert pace.ends() == began + 10
    pace.note(1)
    assert pace.ends() == began + 14


class Watched:
    """A mailbox, and what it told."""

    def __init__(self):
        self.freed = 0
        self.asked = 0
        self.mailbox = Mailbox(self._ask, self._free)

    async def _ask(self):
        self.asked += 1

    async def _free(self, size):
        self.freed += size

    async def put(self, body, *, is_last=False):
        await self.mailbox.put({"type": "http.request", "body": body, "more_body": not is_last})


async def test_what_has_come_is_given_at_once_and_frees_the_windows_then():
    watched = Watched()
    await watched.put(b"ab")
    await watched.put(b"cd")
    freed = watched.freed
    await watched.put(b"", is_last=True)

    event = await watched.mailbox.receive()

    assert (freed, watched.freed, watched.asked) == (0, 4, 1)
    assert event == {"type": "http.request", "body": b"abcd", "more_body": False}


async def test_a_reader_waits_for_what_comes(autojump_clock):
    watched = Watched()
    events = []

    async def receive():
        events.append(await watched.mailbox.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        await watched.put(b"a")

    assert events == [{"type": "http.request", "body": b"a", "more_body": True}]


async def test_a_client_that_leaves_is_told_after_what_it_sent():
    watched = Watched()
    await watched.put(b"a")
    await watched.mailbox.put({"type": "http.disconnect"})

    first, *others = [await watched.mailbox.receive() for _ in range(3)]

    assert first["body"] == b"a"
    assert others == [{"type": "http.disconnect"}] * 2


async def test_what_nobody_reads_any_more_is_counted_and_dropped():
    watched = Watched()
    await watched.put(b"abc")
    watched.mailbox.close()
    await watched.put(b"de")

    assert watched.freed == 2
    assert (watched.mailbox.drop(), watched.mailbox.drop()) == (3, 0)
