"""Where messages begin and end, however their bytes arrive."""

from itertools import pairwise

import h11
import httptools
import pytest
from hypothesis import given, strategies as st

from frontend.server.chunked import LINE_LIMIT, TRAILER_LIMIT, TURN
from frontend.server.heads import HEAD_LIMIT, Refused
from frontend.server.receiver import END, Receiver

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"PUT /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def with_length(body: bytes) -> bytes:
    return b"PUT /c HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return CHUNKED + framed + b"0\r\n" + trailers + b"\r\n"


def read_all(pieces) -> list[tuple[str, bytes]]:
    """Every request of a connection whose bytes arrive in these pieces: target and body."""
    receiver, found, waiting = Receiver(), [], list(pieces)[::-1]
    while True:
        while (block := receiver.next_block()) is None:
            if not waiting:
                return found
            receiver.feed(waiting.pop())
        head = receiver.open(block)
        body = b""
        while (data := receiver.next_data()) != END:
            if data is None:
                if not waiting:
                    return [*found, (head.path, b"unfinished")]
                receiver.feed(waiting.pop())
            else:
                body += data
        found.append((head.path, body))


def split(data: bytes, places) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[low:high] for low, high in pairwise(edges) if low < high]


BODIES = st.binary(max_size=40)
MESSAGES = st.one_of(
    st.just((GET, "/a", b"")),
    BODIES.map(lambda body: (with_length(body), "/c", body)),
    st.lists(st.binary(min_size=1, max_size=20), max_size=4).map(
        lambda chunks: (chunked(*chunks), "/b", b"".join(chunks))
    ),
)


@given(st.lists(MESSAGES, max_size=5), st.lists(st.integers(0, 2000), max_size=8))
def test_requests_come_out_as_they_went_in_however_they_are_cut(messages, places):
    sent = b"".join(message for message, _, _ in messages)

    found = read_all(split(sent, places))

    assert found == [(target, body) for _, target, body in messages]


def test_byte_by_byte_is_no_different():
    sent = GET + with_length(b"abc") + chunked(b"de", b"f", trailers=b"X: y\r\n") + GET

    found = read_all(bytes((byte,)) for byte in sent)

    assert found == [("/a", b""), ("/c", b"abc"), ("/b", b"def"), ("/a", b"")]


def test_nothing_beyond_the_question_is_looked_at():
    receiver = Receiver()
    receiver.feed(GET + b"\0 no request at all")

    assert receiver.next_block() == GET
    assert receiver.next_data() == END
    assert receiver.held == len(b"\0 no request at all")


def test_one_empty_line_before_a_request_is_ignored():
    assert read_all([b"\r\n" + GET]) == [("/a", b"")]
    assert read_all([b"\r", b"\n" + GET]) == [("/a", b"")]


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b" 1\r\na\r\n",
        b"1 \r\na\r\n",
        b"1\na\r\n",
        b"1\r\na\n",
        b"1\r\nab",
        b"1\r\naX\r\n",
        b"\r\n",
        b"1" * 40 + b"\r\n",
        b"0" * 40 + b"\r\n",
        b"1;" + b"x" * LINE_LIMIT,
        b"1;\0\r\na\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"0\r\nX y\r\n\r\n",
        b"0\r\n" + b"X: y\r\n" * TRAILER_LIMIT,
        b"0\r\nX: " + b"y" * TRAILER_LIMIT,
    ],
)
def test_chunks_that_are_none_are_refused(body):
    with pytest.raises(Refused) as caught:
        read_all([CHUNKED + body])

    assert caught.value.status == 400


def test_many_small_chunks_are_decoded_a_few_at_a_time():
    receiver = Receiver()
    receiver.feed(chunked(*[b"x"] * (3 * TURN)))
    receiver.open(receiver.next_block())

    pieces = []
    while piece := receiver.next_data():
        pieces.append(piece)

    assert [len(piece) for piece in pieces] == [TURN] * 3


@pytest.mark.parametrize("size", [b"3;name=value", b'3;a="b c"', b"003", b"3 ;a"])
def test_extensions_are_ignored(size):
    assert read_all([CHUNKED + size + b"\r\nabc\r\n0\r\n\r\n"]) == [("/b", b"abc")]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"x" * HEAD_LIMIT,
        GET[:-2] + b"X: " + b"y" * HEAD_LIMIT,
        GET[:-2] + b"X:y\r\n" * 9000,
    ],
)
@pytest.mark.parametrize("step", [1000, 8192, 1 << 20])
def test_a_head_beyond_the_limit_is_431(sent, step):
    with pytest.raises(Refused) as caught:
        read_all(sent[at : at + step] for at in range(0, len(sent), step))

    assert caught.value.status == 431


class _Events:
    """llhttp's opinion of a chunked body."""

    def __init__(self):
        self.body, self.is_over = b"", False

    def on_body(self, data):
        self.body += data

    def on_message_complete(self):
        self.is_over = True


def oracles(sent: bytes) -> list[bytes | None]:
    """The body as llhttp and as h11 read it; None when they do not see its end."""
    events = _Events()
    try:
        httptools.HttpRequestParser(events).feed_data(sent)
    except httptools.HttpParserError:
        events.is_over = False
    other = h11.Connection(h11.SERVER)
    other.receive_data(sent)
    body: bytes | None = b""
    try:
        while not isinstance(event := other.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA or event is h11.PAUSED:
                body = None
                break
            body += event.data if isinstance(event, h11.Data) else b""
    except h11.RemoteProtocolError:
        body = None
    return [events.body if events.is_over else None, body]


@given(
    st.lists(st.binary(min_size=1, max_size=9), max_size=3),
    st.integers(0, 60),
    st.binary(max_size=3),
    st.integers(0, 3),
)
def test_what_we_take_for_a_chunked_body_others_take_for_the_same(chunks, place, junk, cut):
    framed = chunked(*chunks)[len(CHUNKED) :]
    sent = CHUNKED + framed[:place] + junk + framed[place + cut :]
    try:
        found = read_all([sent])
    except Refused:
        return  # stricter than others is what we want to be
    if found[0][1] != b"unfinished" and len(found) == 1:
        assert found[0][1] in oracles(sent)
