"""Downloads that break off, and go on or do not."""

import hashlib
import os

import pytest
import trio

from frontend.upstream import transfers
from frontend.upstream.answers import Wanted
from frontend.upstream.errors import (
    BlobMissing,
    UpstreamBroken,
    UpstreamChanged,
    UpstreamFault,
    UpstreamLimited,
    UpstreamUnavailable,
)
from frontend.upstream.transfers import ATTEMPTS, fetching
from tests.upstream.faulty import answer, sending

CONTENT = os.urandom(300_000)
SIZE = len(CONTENT)
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
BLOB = Wanted("app", "blobs", DIGEST)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(transfers, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr("frontend.upstream.breaker.FIRST", 0.01)


class Breaking:
    """Sends the content, and breaks off after `most` bytes of each answer but the last.

    `ranges`: it knows Range. `fields`: of each answer in turn; the last one is repeated.
    """

    def __init__(self, most, breaks=10**9, ranges=True, fields=((),), content=CONTENT):
        self.most, self.breaks, self.ranges = most, breaks, ranges
        self.fields, self.content = list(fields), content
        self.starts = []

    async def __call__(self, asked, stream):
        start = int(asked.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.starts.append(start)
        own = self.fields.pop(0) if len(self.fields) > 1 else self.fields[0]
        is_part = self.ranges and start
        rest = self.content[start:] if is_part else self.content
        last = len(self.content) - 1
        more = [f"Content-Range: bytes {start}-{last}/{last + 1}"] if is_part else []
        is_broken = len(self.starts) <= self.breaks and len(rest) > self.most
        sent = rest[: self.most] if is_broken else rest
        await stream.send_all(answer(206 if is_part else 200, sent, *more, *own, length=len(rest)))
        return not is_broken


async def fetch(client, size=SIZE, wanted=BLOB):
    content = bytearray()
    view = memoryview(bytearray(1 << 16))
    async with fetching(client, wanted, size) as transfer:
        while count := await transfer.receive_into(view):
            content += view[:count]
        assert transfer.offset == wanted.start + len(content)
    return bytes(content)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("size", [SIZE, None])
async def test_a_broken_transfer_goes_on_where_it_broke(faulty, ranges, size):
    faulty.behave = breaking = Breaking(100_000, breaks=1, ranges=ranges)

    assert await fetch(faulty.client(connections=1), size) == CONTENT
    assert breaking.starts == [0, 100_000]


async def test_it_may_begin_in_the_middle(faulty):
    faulty.behave = breaking = Breaking(100_000, breaks=1)
    wanted = Wanted("app", "blobs", DIGEST, start=50_000)

    assert await fetch(faulty.client(), wanted=wanted) == CONTENT[50_000:]
    assert breaking.starts == [50_000, 150_000]


async def test_it_breaks_off_only_so_many_times(faulty):
    faulty.behave = breaking = Breaking(10)

    with pytest.raises(UpstreamBroken):
        await fetch(faulty.client())

    assert breaking.starts == [10 * number for number in range(ATTEMPTS + 1)]


async def test_progress_earns_new_attempts(faulty, monkeypatch):
    monkeypatch.setattr(transfers, "PROGRESS", 20_000)
    faulty.behave = breaking = Breaking(20_000)

    assert await fetch(faulty.client()) == CONTENT
    assert len(breaking.starts) == SIZE // 20_000


@pytest.mark.parametrize(
    "fields",
    [
        [('ETag: "a"',), ('ETag: "b"',)],
        [(f"Docker-Content-Digest: {DIGEST}",), ("Docker-Content-Digest: sha256:" + "0" * 64,)],
    ],
)
async def test_it_does_not_go_on_with_something_else(faulty, fields):
    faulty.behave = breaking = Breaking(100_000, breaks=1, fields=fields)

    with pytest.raises(UpstreamChanged):
        await fetch(faulty.client())

    assert len(breaking.starts) == 2


@pytest.mark.parametrize(
    "second",
    [
        answer(206, b"x" * 10, f"Content-Range: bytes 100-109/{SIZE}"),
        answer(206, b"x" * 10, f"Content-Range: bytes 100000-{SIZE - 1}/{SIZE}"),
        answer(206, b"x" * 10, "Content-Range: bytes 100000-100009/200000"),
        answer(206, b"x" * 10, "Content-Type: multipart/byteranges; boundary=x"),
        answer(200, b"x" * 10),
        answer(416, b"", f"Content-Range: bytes */{SIZE}"),
        answer(404),
    ],
)
async def test_a_rest_that_does_not_fit_is_not_taken(faulty, second):
    first = answer(200, CONTENT[:100_000], length=SIZE)
    sent = [first]

    async def behave(asked, stream):
        await stream.send_all(sent.pop() if sent else second)
        return False

    faulty.behave = behave
    received = bytearray()

    async def receive():
        async with fetching(faulty.client(), BLOB, SIZE) as transfer:
            async for block in transfer.iter_blocks():
                received.extend(block)

    with pytest.raises(UpstreamFault):
        await receive()

    assert bytes(received) == CONTENT[:100_000]


@pytest.mark.parametrize("length", [0, SIZE - 1, SIZE + 1])
async def test_another_length_than_was_to_come_is_refused_at_once(faulty, length):
    faulty.behave = sending(answer(200, b"", length=length))

    with pytest.raises(UpstreamChanged) as caught:
        await fetch(faulty.client())

    assert f"{length} bytes instead of {SIZE}" in caught.value.told


async def test_a_body_without_a_length_may_not_be_longer(faulty):
    async def behave(asked, stream):
        await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT + b"x")
        return False

    faulty.behave = behave

    with pytest.raises(UpstreamChanged):
        await fetch(faulty.client())


async def test_a_body_without_a_length_goes_on_where_it_broke(faulty):
    sent = []

    async def behave(asked, stream):
        sent.append(asked.headers.get("range"))
        await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT[: 100_000 * len(sent)])
        return False

    faulty.behave = behave

    assert await fetch(faulty.client()) == CONTENT
    assert sent == [None, "bytes=100000-", "bytes=200000-"]


async def test_what_ends_before_the_start_is_something_else(faulty):
    faulty.behave = sending(answer(200, CONTENT[:10]))

    with pytest.raises(UpstreamChanged):
        async with faulty.client().open("GET", Wanted("app", "blobs", DIGEST, start=50)):
            pass


async def test_short_outages_are_waited_out(faulty):
    breaking = Breaking(100_000, breaks=1)
    outages = [answer(503), answer(503)]

    async def behave(asked, stream):
        if "range" in asked.headers and outages:
            await stream.send_all(outages.pop())
            return True
        return await breaking(asked, stream)

    faulty.behave = behave

    assert await fetch(faulty.client()) == CONTENT


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        (answer(429, b"", "Retry-After: 600"), UpstreamLimited),
        (answer(503, b"", "Retry-After: 600"), UpstreamUnavailable),
        (answer(404), BlobMissing),
    ],
)
async def test_long_ones_are_not(faulty, second, kind):
    breaking = Breaking(100_000, breaks=1)

    async def behave(asked, stream):
        if "range" in asked.headers:
            await stream.send_all(second)
            return True
        return await breaking(asked, stream)

    faulty.behave = behave

    with pytest.raises(kind):
        await fetch(faulty.client())

    assert len(faulty.requests) == 2


async def test_who_leaves_leaves_nothing_behind(faulty):
    faulty.behave = Breaking(10**9)
    client = faulty.client(connections=1)

    async with fetching(client, BLOB, SIZE) as transfer:
        await transfer.receive_into(memoryview(bytearray(10)))
    with trio.move_on_after(0.01):
        async with fetching(client, BLOB, SIZE):
            await trio.sleep_forever()

    assert await fetch(client) == CONTENT  # the only place is free


async def test_nothing_is_a_transfer_too(faulty):
    faulty.behave = sending(answer(200))

    assert await fetch(faulty.client(), 0) == b""
