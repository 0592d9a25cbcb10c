"""The request body, fed by hand."""

from collections import deque

import pytest
import trio

from frontend.domain.faults import BodyTooSlow, SizeInvalid, TooLarge
from frontend.server.body import BLOCK, DRAIN_LIMIT, Body, ClientGone
from frontend.settings import Http

LIMITS = Http(stall_seconds=60, min_body_rate=1024)


class Client:
    """Plays an ASGI `receive`; `sent` counts what the body asked for."""

    def __init__(self, *events, pause=0.0):
        self.events = deque(events)
        self.pause = pause
        self.sent = 0

    async def receive(self):
        await trio.sleep(self.pause)
        if not self.events:
            await trio.sleep_forever()
        self.sent += 1
        return self.events.popleft()


def data(content, *, more=True):
    return {"type": "http.request", "body": content, "more_body": more}


GONE = {"type": "http.disconnect"}
END = data(b"", more=False)
CHUNKED = {"transfer-encoding": "chunked"}


def body(client, headers=CHUNKED, limits=LIMITS):
    return Body(client.receive, headers, limits)


async def blocks_of(each):
    blocks = []
    while block := await each.read_block():
        assert all(block)
        blocks.append(b"".join(block))
    return blocks


async def test_blocks_are_large_and_the_last_one_is_what_is_left():
    client = Client(*[data(b"x" * 65536)] * 40, data(b"end", more=False))

    blocks = await blocks_of(body(client))

    assert b"".join(blocks) == b"x" * 65536 * 40 + b"end"
    assert all(len(block) >= BLOCK for block in blocks[:-1])


@pytest.mark.parametrize("size", [1, 100, 5000])
async def test_what_comes_in_crumbs_is_kept_in_few_pieces(size):
    client = Client(*[data(b"x" * size)] * 400, END)

    block = await body(client).read_block()

    assert b"".join(block) == b"x" * size * 400
    assert len(block) <= 1 + size * 400 // 65536


async def test_nothing_is_taken_from_the_client_ahead_of_the_consumer():
    client = Client(*[data(b"x" * BLOCK)] * 10, END)

    await body(client).read_block()

    assert client.sent == 1


async def test_an_empty_body_has_no_blocks():
    assert await blocks_of(body(Client(END))) == []


@pytest.mark.parametrize("end", [GONE, END])
async def test_what_came_before_a_truncation_is_returned_before_the_error(end):
    each = body(Client(data(b"abc"), end), {"content-length": "10"})

    assert await each.read_block() == [b"abc"]
    with pytest.raises((ClientGone, SizeInvalid)):
        await each.read_block()


async def test_a_request_without_length_or_chunks_has_no_body():
    each = body(Client(END), {})

    assert (each.content_length, each.is_read) == (0, True)


async def test_a_whole_body_may_have_exactly_the_limit():
    assert await body(Client(data(b"12345", more=False))).read_all(5) == b"12345"


@pytest.mark.parametrize("headers", [CHUNKED, {"content-length": "600000"}])
async def test_a_whole_body_beyond_the_limit_is_refused_without_holding_it(headers):
    client = Client(*[data(b"x" * 100)] * 6000)

    with pytest.raises(TooLarge):
        await body(client, headers).read_all(250)

    assert client.sent <= 3


async def test_a_client_that_stalls_is_too_slow(autojump_clock):
    client = Client(data(b"x" * 10_000_000))
    began = trio.current_time()

    with pytest.raises(BodyTooSlow):
        await blocks_of(body(client))

    assert trio.current_time() - began == pytest.approx(60)


async def test_a_trickle_is_too_slow_after_ten_seconds(autojump_clock):
    client = Client(*[data(b"x")] * 100, pause=1)
    began = trio.current_time()

    with pytest.raises(BodyTooSlow):
        await blocks_of(body(client))

    assert trio.current_time() - began == pytest.approx(10, abs=1)


async def test_a_body_at_the_minimum_rate_arrives(autojump_clock):
    client = Client(*[data(b"x" * 1024)] * 100, END, pause=1)

    assert len(b"".join(await blocks_of(body(client)))) == 102_400


async def test_a_rate_of_zero_leaves_the_stall_limit_alone(autojump_clock):
    client = Client(*[data(b"x")] * 100, END, pause=30)

    assert len(b"".join(await blocks_of(body(client, limits=Http(min_body_rate=0))))) == 100


async def test_the_time_the_store_takes_is_not_the_clients(autojump_clock):
    client = Client(*[data(b"x" * BLOCK)] * 5, END)
    each = body(client)
    for _ in range(3):
        await each.read_block()
        await trio.sleep(1000)


async def test_draining_ends_with_the_body():
    client = Client(data(b"x"), END)
    each = body(client)

    await each.drain()

    assert each.is_read


async def test_draining_gives_up_on_a_body_without_end():
    client = Client(*[data(b"x" * BLOCK)] * 100)
    each = body(client)

    await each.drain()

    assert not each.is_read
    assert client.sent == DRAIN_LIMIT // BLOCK


async def test_draining_gives_up_on_a_client_that_waits(autojump_clock):
    await body(Client()).drain()

    assert trio.current_time() < 60


@pytest.mark.parametrize("text", ["", "x", "+5", "-1", "1_0", " 5", "5, 5", "9" * 30, "\u0663"])
def test_a_length_that_is_no_number_is_none(text):
    assert body(Client(), {"content-length": text, **CHUNKED}).content_length is None
