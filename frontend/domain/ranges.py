"""Byte ranges: of downloads (RFC 9110, 14) and of upload chunks (distribution-spec)."""

import re
from hashlib import blake2b
from typing import Final, NamedTuple

from cas.digest import Digest
from frontend.domain.faults import BlobUploadInvalid, RangeInvalid, RangeNotSatisfiable

MAX_RANGES: Final = 16  # more are answered with the whole blob, as RFC 9110, 14.2 allows
_MAX_DIGITS: Final = 19  # more than any size has: longer numbers are not even converted
_FAR: Final = 10**_MAX_DIGITS  # beyond every size
_SPEC: Final = re.compile(r"([0-9]*)[ \t]*-[ \t]*([0-9]*)")
_CHUNK: Final = re.compile(r"(?:bytes[ =])?([0-9]{1,19})-([0-9]{1,19})(?:/(?:[0-9]+|\*))?")


class Span(NamedTuple):
    """Bytes `start` to `stop`, which is not included and lies beyond `start`."""

    start: int
    stop: int

    def content_range(self, size: int) -> str:
        """The Content-Range of this part of `size` bytes."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


class Multipart(NamedTuple):
    """The frame of several spans: `heads[i]` goes before span i, `end` after the last one."""

    content_type: str
    heads: tuple[bytes, ...]
    end: bytes
    length: int  # bytes of everything, the spans included


def parse_ranges(header: str | None, size: int) -> tuple[Span, ...] | None:
    """Read a Range header for `size` bytes; None means: answer with everything.

    A header that is malformed, in another unit, of more than MAX_RANGES ranges or of more bytes
    than the whole (overlaps) is ignored; ranges beyond the end are dropped.

    Raises:
        RangeNotSatisfiable: every range lies beyond the end, or runs backwards.
    """
    unit, _, text = (header or "").partition("=")
    if unit.strip().lower() != "bytes" or text.count(",") > 4 * MAX_RANGES:
        return None
    specs = [spec for spec in map(str.strip, text.split(",")) if spec]  # RFC 9110, 5.6.1.2
    if not 0 < len(specs) <= MAX_RANGES:
        return None
    matches = [_SPEC.fullmatch(spec) for spec in specs]
    spans = []
    for match in matches:
        if match is None or not any(match.groups()):
            return None
        spans.append(_span(match[1], match[2], size))
    return _satisfiable(spans, size)


def _satisfiable(spans: list[Span], size: int) -> tuple[Span, ...] | None:
    """Keep the spans that have bytes; None when answering with everything is better."""
    kept = tuple(span for span in spans if span.start < span.stop)
    if not kept:
        if size == 0 and any(span.start == 0 for span in spans):
            return None  # a suffix of nothing is satisfiable, but has no Content-Range
        raise RangeNotSatisfiable(size)
    # More bytes than the whole can only be overlaps, which RFC 9110, 14.2 lets us ignore.
    return kept if sum(span.stop - span.start for span in kept) <= size else None


def _span(first: str, last: str, size: int) -> Span:
    """One range; without bytes (`start` ≥ `stop`) when it is not satisfiable."""
    if not first:
        length = _number(last)
        return Span(max(0, size - length), size) if length else Span(_FAR, 0)
    start = _number(first)
    if start >= size:
        return Span(_FAR, 0)
    return Span(start, size if not last else min(_number(last) + 1, size))


def _number(digits: str) -> int:
    """Read digits; what no size can have is `_FAR`."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) < _MAX_DIGITS else _FAR


def multipart(spans: tuple[Span, ...], size: int, digest: Digest) -> Multipart:
    """Frame several parts of the blob `digest` as multipart/byteranges.

    The boundary is a hash over the digest: no content can hold it but by chance (2⁻¹²⁸), because
    no content can be written that knows its own digest.
    """
    boundary = blake2b(digest.key + repr(spans).encode(), digest_size=16).hexdigest()
    heads = tuple(
        f"\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Range: {span.content_range(size)}\r\n\r\n".encode()
        for span in spans
    )
    end = f"\r\n--{boundary}--\r\n".encode()
    length = sum(map(len, heads)) + sum(span.stop - span.start for span in spans) + len(end)
    return Multipart(f"multipart/byteranges; boundary={boundary}", heads, end, length)


def parse_content_range(text: str) -> Span:
    """Read an upload chunk's Content-Range, `<start>-<end>`; `bytes ` and `/size` are tolerated.

    Raises:
        BlobUploadInvalid: another form.
        RangeInvalid: it runs backwards.
    """
    match = _CHUNK.fullmatch(text.strip())
    if match is None:
        raise BlobUploadInvalid(f"Content-Range is {text[:50]!r}, and must be <first>-<last> byte")
    span = Span(int(match[1]), int(match[2]) + 1)
    if span.start >= span.stop:
        raise RangeInvalid(text)
    return span


def upload_range(size: int) -> str:
    """The Range header that says what an upload holds; an empty one holds `0-0`, by custom."""
    return f"0-{max(size - 1, 0)}"
