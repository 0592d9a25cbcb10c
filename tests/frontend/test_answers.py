"""Heads that stay in their lines, and bodies whose end the client can see."""

import h11
import pytest
from hypothesis import given, strategies as st

from frontend.server.answers import AnswerBroken, Dates, Framer, begin_head, end_head, refusal
from frontend.server.heads import parse_head


def request(line=b"GET / HTTP/1.1", fields=b""):
    return parse_head(line + b"\r\nHost: x\r\n" + fields + b"\r\n")


def framed(framer, status, headers, *parts, is_last=False) -> bytes:
    framer.begin(status, headers, is_last=is_last)
    sent = b"".join(b"".join(framer.body(part)) for part in parts)
    return sent + b"".join(framer.end())


def read(sent: bytes, method=b"GET", *, at_end=True):
    """What a client makes of it: status, fields, body."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(sent)
    if at_end:
        client.receive_data(b"")
    answer, body = client.next_event(), b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    return answer.status_code, dict(answer.headers), body


PARTS = st.lists(st.binary(max_size=20), max_size=4)


@given(PARTS, st.booleans(), st.booleans())
def test_a_body_arrives_whether_its_length_is_known_or_not(parts, is_known, is_old):
    framer = Framer(request(b"GET / HTTP/1.0" if is_old else b"GET / HTTP/1.1"))
    length = [(b"Content-Length", str(sum(map(len, parts))).encode())] if is_known else []

    sent = framed(framer, 200, [*length, (b"X", b"y")], *parts)

    status, fields, body = read(sent, at_end=framer.ends_with_connection)
    assert (status, fields[b"x"], body) == (200, b"y", b"".join(parts))
    assert framer.is_whole
    assert framer.is_last == is_old
    assert (b"transfer-encoding" in fields) == (not is_known and not is_old)


@pytest.mark.parametrize(("line", "status"), [(b"HEAD / HTTP/1.1", 200), (b"GET / HTTP/1.1", 304)])
def test_no_body_has_no_frame(line, status):
    sent = framed(Framer(request(line)), status, [(b"content-length", b"5")])

    assert sent.endswith(b"\r\n\r\n")
    assert b"ontent-length: 5\r\n" in sent
    assert b"chunked" not in sent


def test_a_body_that_is_not_as_long_as_was_said_is_never_whole():
    short, long = Framer(request()), Framer(request())
    for framer in (short, long):
        framer.begin(200, [(b"content-length", b"5")], is_last=False)
        framer.body(b"abc")

    with pytest.raises(AnswerBroken):
        short.end()
    with pytest.raises(AnswerBroken):
        long.body(b"def")
    assert not short.is_whole


@pytest.mark.parametrize(
    ("fields", "headers", "is_last"),
    [
        (b"Connection: close\r\n", [], False),
        (b"", [(b"Connection", b"close")], False),
        (b"", [], True),
    ],
)
def test_whoever_ends_the_connection_it_is_said_once(fields, headers, is_last):
    framer = Framer(request(fields=fields))

    sent = framed(framer, 200, [*headers, (b"content-length", b"0")], is_last=is_last)

    assert sent.lower().count(b"connection: close\r\n") == 1
    assert framer.is_last


def test_the_application_does_not_frame():
    sent = framed(Framer(request()), 200, [(b"transfer-encoding", b"gzip"), (b"date", b"x")], b"a")

    assert sent.count(b"ransfer-") == 1
    assert sent.count(b"ate: ") == 1


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b", "a\r\n\r\nb"])
def test_a_field_never_becomes_two(value):
    with pytest.raises(AnswerBroken):
        begin_head(200, [("Content-Type", value)])
    with pytest.raises(AnswerBroken):
        begin_head(200, [(value, "x")])


def test_the_date_is_of_this_second():
    now = [0.9]
    dates = Dates(lambda: now[0])

    first = dates.end_head(is_last=False)
    now[0] = 1.0

    assert first == b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"
    assert dates.end_head(is_last=True) == (
        b"Date: Thu, 01 Jan 1970 00:00:01 GMT\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize("status", [400, 408, 417, 431, 501, 299])
def test_a_refusal_is_a_whole_answer(status):
    assert read(refusal(status), at_end=False)[0] == status
    assert end_head(is_last=True) in refusal(status)
