"""`frontend.domain.ranges`: what RFC 9110, 14 says of bytes, and of upload chunks the spec."""

import pytest
from hypothesis import given, strategies as st

from cas.digest import Digest
from frontend.domain.faults import BlobUploadInvalid, RangeInvalid, RangeNotSatisfiable
from frontend.domain.ranges import (
    Span,
    multipart,
    parse_content_range,
    parse_ranges,
    upload_range,
)


@pytest.mark.parametrize(
    ("header", "spans"),
    [
        ("bytes=0-4", [(0, 5)]),
        ("bytes=5-", [(5, 10)]),
        ("bytes=-3", [(7, 10)]),
        ("bytes=-99", [(0, 10)]),
        ("bytes=9-99", [(9, 10)]),
        ("bytes=0-" + "9" * 5000, [(0, 10)]),
        ("bytes=-" + "9" * 5000, [(0, 10)]),
        ("bytes=" + "0" * 50 + "3-3", [(3, 4)]),
        ("BYTES = 0-0", [(0, 1)]),
        ("bytes=0-0, ,8-", [(0, 1), (8, 10)]),
        ("bytes=8-9,0-1,0-1", [(8, 10), (0, 2), (0, 2)]),
        ("bytes=0-1,50-60", [(0, 2)]),
    ],
)
def test_ranges_are_clamped_and_kept_in_order(header, spans):
    assert parse_ranges(header, 10) == tuple(Span(*span) for span in spans)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=1-2-3",
        "items=0-1",
        "bytes=0-1;2-3",
        "bytes=+1-2",
        "bytes=0x1-2",
        "bytes=\u0661-",
        "bytes=0-1,x",
        "0-1",
        "bytes=" + ",".join(["0-0"] * 17),
        "bytes=" + "," * 100_000,
        "bytes=0-9,0-9",
    ],
)
def test_what_need_not_be_understood_is_answered_with_everything(header):
    assert parse_ranges(header, 10) is None


def test_sixteen_ranges_are_served():
    spans = parse_ranges("bytes=" + ",".join(f"{n}-{n}" for n in range(16)), 100)

    assert spans is not None
    assert len(spans) == 16


@pytest.mark.parametrize(
    "header",
    [
        "bytes=10-",
        "bytes=500-0",
        "bytes=5-4",
        "bytes=-0",
        "bytes=99-100,12-",
        "bytes=" + "9" * 99 + "-",
    ],
)
def test_ranges_without_a_byte_are_not_satisfiable(header):
    with pytest.raises(RangeNotSatisfiable) as caught:
        parse_ranges(header, 10)
    assert caught.value.size == 10


def test_an_empty_blob_has_no_range_but_its_whole():
    assert parse_ranges("bytes=-5", 0) is None
    with pytest.raises(RangeNotSatisfiable):
        parse_ranges("bytes=0-", 0)


@given(st.binary(max_size=50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_is_the_slice_it_names(content, start, last):
    try:
        spans = parse_ranges(f"bytes={start}-{last}", len(content))
    except RangeNotSatisfiable:
        assert start > last or start >= len(content)
        return
    assert spans is not None
    assert content[spans[0].start : spans[0].stop] == content[start : last + 1]


@given(st.text(max_size=40), st.integers(0, 100))
def test_any_header_gives_spans_within_the_blob(text, size):
    try:
        spans = parse_ranges("bytes=" + text, size)
    except RangeNotSatisfiable:
        return
    assert all(0 <= span.start < span.stop <= size for span in spans or ())


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)), min_size=2, max_size=16))
def test_multipart_announces_its_exact_length(pairs):
    spans = tuple(Span(start, start + length + 1) for start, length in pairs)

    parts = multipart(spans, 50, Digest.of(b"x"))
    body = b"".join(
        head + b"x" * (span.stop - span.start)
        for head, span in zip(parts.heads, spans, strict=True)
    )

    assert len(body + parts.end) == parts.length
    boundary = parts.content_type.partition("boundary=")[2].encode()
    assert body.count(b"--" + boundary) == len(spans)
    assert parts.end == b"\r\n--" + boundary + b"--\r\n"
    assert all(span.content_range(50).encode() in body for span in spans)


@pytest.mark.parametrize("text", ["0-4", "bytes 0-4", "bytes=0-4", "0-4/5", "bytes 0-4/*", " 0-4 "])
def test_a_chunk_says_its_first_and_last_byte(text):
    assert parse_content_range(text) == Span(0, 5)


@pytest.mark.parametrize(
    "text", ["", "-", "0-", "-4", "a-b", "0 - 4", "0-4-5", "1" * 20 + "-" + "2" * 20, "0-4,5-6"]
)
def test_a_chunk_of_another_form_is_invalid(text):
    with pytest.raises(BlobUploadInvalid):
        parse_content_range(text)


def test_a_chunk_that_runs_backwards_is_a_wrong_range():
    with pytest.raises(RangeInvalid):
        parse_content_range("5-3")


def test_an_upload_says_what_it_holds():
    assert [upload_range(size) for size in (0, 1, 10)] == ["0-0", "0-0", "0-9"]
