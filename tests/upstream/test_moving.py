"""Bodies that are taken from the socket itself: the same bytes, and the same ends."""

import os

import pytest
import trio
import trio.lowlevel

from frontend.upstream import connection, transfers
from frontend.upstream.answers import Wanted
from frontend.upstream.errors import UpstreamBroken
from frontend.upstream.transfers import fetching
from frontend.upstream.transport import Patience
from tests.upstream.faulty import answer

CONTENT = os.urandom(1_000_000)
SIZE = len(CONTENT)
BLOB = Wanted("app", "blobs", "sha256:" + "0" * 64)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(transfers, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(connection, "LULL_SECONDS", 0.01)


class Taker:
    """Takes what is in the socket, as a thread does that splices it into a file."""

    def __init__(self):
        self.content = bytearray()
        self.moved = 0

    async def take(self, socket, most):
        try:
            data = socket._sock.recv(most)
        except BlockingIOError:
            return 0
        self.content += data
        self.moved += len(data)
        return len(data)

    async def all_of(self, transfer):
        """Move what can be moved, and receive the rest."""
        view = memoryview(bytearray(1 << 16))
        while True:
            if await transfer.move(self.take):
                continue
            count = await transfer.receive_into(view)
            if not count:
                return bytes(self.content)
            self.content += view[:count]


async def fetch(client, wanted=BLOB, size=SIZE):
    taker = Taker()
    async with fetching(client, wanted, size) as transfer:
        content = await taker.all_of(transfer)
        assert transfer.offset == size
    return content, taker


def sending_in(pieces, *, chunked=False, ranges=True):
    """Send the content in so many pieces; `ranges`: what a Range asks for, and no more."""

    async def behave(asked, stream):
        start = int(asked.headers.get("range", "bytes=0-")[6:-1]) if ranges else 0
        rest = CONTENT[start:]
        if chunked:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        else:
            field = f"Content-Range: bytes {start}-{SIZE - 1}/{SIZE}"
            head = answer(206 if start else 200, b"", field, length=len(rest))
            await stream.send_all(head)
        step = -(-len(rest) // pieces)
        for begin in range(0, len(rest), step):
            piece = rest[begin : begin + step]
            frame = b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
            await stream.send_all(frame)
            await trio.lowlevel.checkpoint()
        if chunked:
            await stream.send_all(b"0\r\n\r\n")
        return True

    return behave


@pytest.mark.parametrize("pieces", [1, 3, 50])
async def test_most_of_a_body_is_moved_and_its_connection_kept(faulty, pieces):
    faulty.behave = sending_in(pieces)
    client = faulty.client()

    for _ in range(2):
        content, taker = await fetch(client)
        assert content == CONTENT
        assert taker.moved > SIZE // 4

    assert faulty.connections == 1
    assert client.health().bytes_fetched == 2 * SIZE


async def test_chunks_are_not_moved(faulty):
    faulty.behave = sending_in(7, chunked=True)

    content, taker = await fetch(faulty.client())

    assert (content, taker.moved) == (CONTENT, 0)


@pytest.mark.parametrize("ranges", [True, False])
async def test_bytes_before_the_start_are_never_moved(faulty, ranges):
    faulty.behave = sending_in(4, ranges=ranges)
    taker = Taker()

    async with fetching(faulty.client(), Wanted("app", "blobs", BLOB.reference, start=99)) as found:
        content = await taker.all_of(found)

    assert content == CONTENT[99:]


async def test_a_break_is_noticed_and_the_rest_moved_from_there(faulty):
    whole = sending_in(1)

    async def behave(asked, stream):
        if "range" in asked.headers:
            return await whole(asked, stream)
        await stream.send_all(answer(200, CONTENT[:400_000], length=SIZE))
        return False

    faulty.behave = behave

    content, _ = await fetch(faulty.client())

    assert content == CONTENT
    assert faulty.requests[1].headers["range"] == "bytes=400000-"


async def test_a_stall_is_noticed_beside_moving(faulty):
    async def behave(asked, stream):
        await stream.send_all(answer(200, CONTENT[:-1], length=SIZE))
        await trio.sleep_forever()

    faulty.behave = behave
    quick = Patience(stall_seconds=0.05)

    with pytest.raises(UpstreamBroken) as caught:
        await fetch(faulty.client(patience=quick))

    assert "no byte for" in caught.value.told
