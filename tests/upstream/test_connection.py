"""HTTP/1.1 from any bytes, however they are cut: an answer, or `ConnectionBroken`."""

import pytest
from hypothesis import given, strategies as st

from frontend.upstream.connection import Connection, ConnectionBroken

BODY = b"hello, world"
ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + BODY,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\n\r\n",
    "close": b"HTTP/1.0 200 OK\r\nA: b\r\nA: c\r\n\r\n" + BODY,
    "interim": b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + BODY,
}
PIECES = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.0 200 OK\r\n",
            b"Content-Length: 5\r\n",
            b"Content-Length: 0\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: close\r\n",
            b"\r\n",
            b"hello",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"HTTP/1.1 100 C\r\n\r\n",
            b"HTTP/1.1 204 N\r\n",
            b"A:\x00b\r\n",
            b" folded\r\n",
            b"\n",
            b"ffffffffffffffffffff\r\n",
            b"-1\r\n",
            b"HTTP/9.9 200 OK\r\n",
            b"\xff\xfe",
            b"GET / HTTP/1.1\r\n",
        ]
    ),
    max_size=8,
)


class Memory:
    """A wire that has these bytes, cut as `cuts` say, and then ends."""

    def __init__(self, data, cuts=()):
        self.data, self.cuts, self.sent, self.is_closed = data, list(cuts), b"", False

    async def send_all(self, data):
        self.sent += data

    async def receive_into(self, view):
        assert not self.is_closed
        assert len(view)
        limit = self.cuts.pop(0) if self.cuts else len(self.data)
        part = self.data[: min(limit, len(view))]
        self.data = self.data[len(part) :]
        view[: len(part)] = part
        return len(part)

    def is_readable(self):
        return bool(self.data)

    async def aclose(self):
        self.is_closed = True


async def ask(connection, size=5):
    head = await connection.ask("GET", "/", [("Host", "a")])
    content = bytearray()
    view = memoryview(bytearray(size))
    while count := await connection.receive_into(view):
        content += view[:count]
    assert await connection.receive_into(view) == 0
    return head, bytes(content)


@pytest.mark.parametrize("name", ANSWERS)
@given(cuts=st.lists(st.integers(1, 20), max_size=60), size=st.integers(1, 40))
async def test_an_answer_is_the_same_however_it_is_cut(name, cuts, size):
    wire = Memory(ANSWERS[name], cuts)
    connection = Connection(wire)

    head, content = await ask(connection, size)

    assert (head.status, content) == (200, BODY)
    assert wire.sent == b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert connection.is_reusable == (name != "close")
    if name == "close":
        assert head.fields == {"a": "b, c"}


@given(pieces=PIECES, cuts=st.lists(st.integers(1, 9), max_size=30))
async def test_any_bytes_are_an_answer_or_broken(pieces, cuts):
    connection = Connection(Memory(b"".join(pieces), cuts))

    try:
        head, _ = await ask(connection)
    except ConnectionBroken as error:
        assert str(error)
        assert not connection.is_reusable
    else:
        assert 200 <= head.status < 600


@given(data=st.binary(max_size=200))
async def test_what_is_kept_has_nothing_left_to_read(data):
    """No bytes of one answer ever become part of the next one."""
    wire = Memory(ANSWERS["length"] + data)
    connection = Connection(wire)

    await ask(connection)

    assert connection.is_reusable == (data == b"") or wire.is_readable()


@pytest.mark.parametrize("name", ["length", "chunks", "interim"])
async def test_every_end_that_comes_too_early_is_noticed(name):
    for length in range(len(ANSWERS[name])):
        with pytest.raises(ConnectionBroken) as caught:
            await ask(Connection(Memory(ANSWERS[name][:length])))
        assert caught.value.is_unanswered == (length == 0)
