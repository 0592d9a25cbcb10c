"""What is read of a head, and what is refused of what llhttp lets through."""

import pytest
from hypothesis import given, strategies as st

from frontend.server.heads import HEADER_COUNT, METHODS, Refused, check_beginning, parse_head

LINE = b"GET / HTTP/1.1\r\n"
HOST = b"Host: x\r\n"


def head(line=LINE, fields=b"", host=HOST):
    return parse_head(line + host + fields + b"\r\n")


def refused(function, *arguments) -> int:
    with pytest.raises(Refused) as caught:
        function(*arguments)
    return caught.value.status


def status_of(line=LINE, fields=b"", host=HOST) -> int:
    return refused(head, line, fields, host)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_an_ordinary_request_is_read(method):
    found = head(method + b" /v2/?a=b?c HTTP/1.1\r\n", b"X-A:  b c \r\nx-a: d\r\nEmpty:\r\n")

    assert (found.method.encode(), found.target) == (method, b"/v2/?a=b?c")
    assert (found.path, found.query, found.version) == ("/v2/", "a=b?c", "1.1")
    assert found.fields == [
        (b"host", b"x"), (b"x-a", b"b c"), (b"x-a", b"d"), (b"empty", b""),
    ]  # fmt: skip
    assert (found.length, found.is_last, found.is_continue_awaited) == (0, False, False)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"TRACE / HTTP/1.1\r\n", 501),
        (b"CONNECT x:1 HTTP/1.1\r\n", 501),
        (b"PROPFIND / HTTP/1.1\r\n", 501),
        (b"SOURCE / ICE/1.0\r\n", 400),
        (b"get / HTTP/1.1\r\n", 501),
        (b"GET / HTTP/2.0\r\n", 400),
        (b"GET / HTTP/0.9\r\n", 400),
        (b"GET / HTTP/1.2\r\n", 400),
        (b"GET / HTTP/1.10\r\n", 400),
        (b"GET / http/1.1\r\n", 400),
        (b"GET / RTSP/1.0\r\n", 400),
        (b"GET /\r\n", 400),
        (b"GET\r\n", 400),
        (b"\r\n", 400),
        (b"GET  / HTTP/1.1\r\n", 400),
        (b"GET /  HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1 \r\n", 400),
        (b" GET / HTTP/1.1\r\n", 400),
        (b"GET\t/ HTTP/1.1\r\n", 400),
        (b"GET * HTTP/1.1\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\n", 400),
        (b"GET http://x/ HTTP/1.1\r\n", 400),
        (b"GET x HTTP/1.1\r\n", 400),
        (b"GET /#a HTTP/1.1\r\n", 400),
        (b'GET /"a" HTTP/1.1\r\n', 400),
        (b"GET /<a> HTTP/1.1\r\n", 400),
        (b"GET /\x80 HTTP/1.1\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n", 400),
        (b"GET /\x7f HTTP/1.1\r\n", 400),
    ],
)
def test_a_line_that_is_none_is_refused(line, status):
    assert status_of(line) == status


@pytest.mark.parametrize(
    "fields",
    [
        b"A: b\r\n c\r\n",
        b"A : b\r\n",
        b" A: b\r\n",
        b": b\r\n",
        b"A\r\n",
        b"A: b\nC: d\r\n",
        b"A: b\rC: d\r\n",
        b"A: \0\r\n",
        b"A: \x7f\r\n",
        b"\x80: b\r\n",
        b"A(: b\r\n",
    ],
)
def test_a_field_that_is_none_is_refused(fields):
    assert status_of(fields=fields) == 400


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        (b"Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        (b"Content-Length: 5, 5\r\n", 400),
        (b"Content-Length: +5\r\n", 400),
        (b"Content-Length: -5\r\n", 400),
        (b"Content-Length: 0x5\r\n", 400),
        (b"Content-Length: 5 5\r\n", 400),
        (b"Content-Length: 0003\r\n", 400),
        (b"Content-Length: \r\n", 400),
        (b"Content-Length: 18446744073709551615\r\n", 400),
        (b"Content-Length: 18446744073709551617\r\n", 400),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding: chunked, gzip\r\n", 400),
        (b"Transfer-Encoding: gzip\r\n", 400),
        (b"Transfer-Encoding: identity\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: xchunked\r\n", 400),
        (b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n", 400),
        (b"Connection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Upgrade: websocket\r\nContent-Length: 5\r\n", 400),
        (b"Host: y\r\n", 400),
        (b"Expect: 100-continue\r\nExpect: 100-continue\r\n", 400),
        (b"Expect: a-miracle\r\n", 417),
        (b"X: y\r\n" * HEADER_COUNT, 431),
    ],
)
def test_doubtful_framing_is_refused(fields, status):
    assert status_of(b"POST / HTTP/1.1\r\n", fields) == status


def test_a_coding_in_http_1_0_is_refused():
    assert status_of(b"POST / HTTP/1.0\r\n", b"Transfer-Encoding: chunked\r\n") == 400


@pytest.mark.parametrize(
    "host", [b"Host: a b\r\n", b"Host: a/b\r\n", b"Host: a@b\r\n", b"Host: [::1\r\n",
             b"Host: a:x\r\n", b"Host: a:1:2\r\n", b"Host: \x80\r\n", b"Host: a#\r\n", b""],
)  # fmt: skip
def test_a_host_that_is_none_is_refused(host):
    assert status_of(host=host) == 400


@pytest.mark.parametrize(
    "host",
    [
        b"Host: a.b:80\r\n",
        b"Host: [::1]:80\r\n",
        b"Host: 127.0.0.1\r\n",
        b"Host:\r\n",
        b"host:x\r\n",
    ],
)
def test_a_host_that_is_one_is_not(host):
    assert head(host=host).path == "/"


def test_http_1_0_needs_no_host_and_ends_the_connection():
    found = parse_head(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")

    assert (found.version, found.is_last) == ("1.0", True)


@pytest.mark.parametrize(
    ("fields", "is_last"),
    [
        (b"Connection: close\r\n", True),
        (b"Connection: Close\r\n", True),
        (b"Connection: keep-alive, close\r\n", True),
        (b"Connection: keep-alive\r\nConnection: close\r\n", True),
        (b"Connection: keep-alive\r\n", False),
        (b"Connection: closed\r\n", False),
        (b"", False),
    ],
)
def test_the_client_says_when_the_connection_ends(fields, is_last):
    assert head(fields=fields).is_last == is_last


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        (b"", 0),
        (b"Content-Length: 0\r\n", 0),
        (b"Content-Length: 12 \r\n", 12),
        (b"Transfer-Encoding: Chunked\r\n", None),
        (b"Connection: upgrade\r\nUpgrade: h2c\r\n", 0),
        (b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n", 0),
    ],
)
def test_the_length_of_a_body(fields, length):
    assert head(fields=fields).length == length


def test_a_body_is_held_back_only_where_there_is_one():
    expect = b"Expect: 100-Continue\r\n"

    assert head(fields=expect + b"Content-Length: 1\r\n").is_continue_awaited
    assert not head(fields=expect).is_continue_awaited
    assert not head(b"GET / HTTP/1.0\r\n", expect + b"Content-Length: 1\r\n").is_continue_awaited


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01", 400),
        (b"\0" * 10, 400),
        (b" GET", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\n", 400),
        (b"TRACE / HTTP/1.1\r\n", 501),
        (b"GET / HTTP/3.1\r\nHo", 400),
        (b"GET /" + b"x" * 40_000, 431),
    ],
)
def test_what_can_be_no_head_is_refused_before_its_end(data, status):
    assert refused(check_beginning, data, 0) == status


@given(st.data())
def test_a_sound_beginning_of_any_length_is_not_refused(data):
    whole = b"PATCH /v2/a?b=c HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n"
    length = data.draw(st.integers(1, len(whole)))
    seen = data.draw(st.integers(0, length))

    check_beginning(whole[:length], seen)


@given(st.binary(max_size=200), st.integers(0, 60))
def test_any_bytes_are_a_head_or_refused(junk, place):
    whole = LINE + HOST + b"A: b\r\n"
    mutated = whole[:place] + junk + whole[place:] + b"\r\n"
    try:
        found = parse_head(mutated)
    except Refused as refused:
        assert refused.status in (400, 417, 431, 501)
    else:
        assert found.target.startswith(b"/")
