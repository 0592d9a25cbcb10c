"""What h2 counts and keeps for a client."""

from itertools import pairwise
from types import SimpleNamespace

import trio
import trio.testing
from hyperframe.frame import DataFrame, PingFrame
from hypothesis import given, strategies as st

from frontend.server.h2_exchange import Mailbox
from frontend.server.h2_frames import NOISE_BURST, NOISE_RATE, Frames, Noise
from frontend.server.h2_sending import Pace, Sending
from frontend.server.negotiation import PREFACE
from frontend.server.wire import STALL_BYTES


def test_noise_is_borne_in_a_burst_and_steadily_and_no_further():
    noise = Noise(0.0)

    assert not noise.count(NOISE_BURST, 0.0)
    assert noise.count(1, 0.0)
    assert not noise.count(0, 1.0)
    assert all(not noise.count(int(NOISE_RATE), 2.0 + second) for second in range(100))
    assert noise.count(NOISE_BURST + 1, 1000.0)


def test_noise_that_was_not_made_is_not_saved_up():
    noise = Noise(0.0)
    noise.count(-1_000_000, 1.0)

    assert noise.count(NOISE_BURST + 1, 3600.0)


@given(
    sizes=st.lists(st.integers(0, 40), max_size=12),
    most=st.integers(1, 4),
    places=st.lists(st.integers(0, 600), max_size=6),
)
def test_frames_are_counted_wherever_the_network_cuts_them(sizes, most, places):
    sent = PREFACE + b"".join(DataFrame(1, bytes(size)).serialize() for size in sizes)
    edges = [0, *sorted(place % (len(sent) + 1) for place in places), len(sent)]
    frames, turns = Frames(), []

    for low, high in pairwise(edges):
        piece, at = sent[low:high], 0
        while at < len(piece):
            at, count = frames.cut(piece, at, most)
            turns.append(count)

    assert sum(turns) == len(sizes)
    assert max(turns) <= most


class Torn:
    """A wire that takes a few bytes, and the rest when it may."""

    def __init__(self):
        self.taken = b""
        self.may_go_on = trio.Event()

    @property
    def sent(self):
        return len(self.taken)

    async def send(self, data):
        self.taken += data[:5]
        await self.may_go_on.wait()
        self.taken += data[5:]


async def test_a_frame_is_sent_whole_although_its_sender_was_cancelled():
    frames = [DataFrame(1, b"content").serialize(), PingFrame(0, b"12345678").serialize()]
    waiting, wire = list(frames), Torn()
    connection = SimpleNamespace(data_to_send=lambda: waiting.pop(0))
    sending = Sending(connection, wire)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sending.flush)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    wire.may_go_on.set()

    await sending.flush()

    assert wire.taken == b"".join(frames)


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
