"""The head of a request, from its bytes to a value; what llhttp lets through is refused. Pure.

llhttp parses the fields. The request line is matched here and the message's end is decided here
(`receiver`), because llhttp takes HTTP/0.9, RTSP, absolute targets, fields without limit, and ends
an upgrade before its body. See docs/design/0004-message-boundaries.md.
"""

import re
from typing import Final, NamedTuple

import httptools

HEAD_LIMIT: Final = 32 << 10  # bytes of a request's line and fields
HEADER_COUNT: Final = 100

# What registries and their clients use; TRACE and CONNECT have no meaning here, PRI begins HTTP/2.
METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))

_LINE: Final = re.compile(rb"([!#-'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/([0-9]\.[0-9])")
# A path and a query. RFC 3986 has no `"<>\^{|}` and backtick; those that only a sloppy client sends
# go on to the grammar of names. `#` and quotes are read differently by whoever looks.
_TARGET: Final = re.compile(rb"/[!$-;=?-~]*")
# Source: RFC 9110, 7.2 and RFC 3986, 3.2: a name, an IPv4 address or an IPv6 one; empty is valid.
_HOST: Final = re.compile(
    rb"(?:[0-9A-Za-z._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])?(?::[0-9]{0,5})?", re.ASCII
)
_LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,17}")  # bytes: below 2⁶⁰, in one spelling only
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_TOKEN_START: Final = re.compile(rb"[!#-'*+.^_`|~0-9A-Za-z-]")

_SPECIAL: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade")
)
_LISTS: Final = frozenset((b"connection", b"upgrade"))  # may come several times

Fields = list[tuple[bytes, bytes]]


class Refused(Exception):
    """A request that is answered by the connection, which then closes."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Head(NamedTuple):
    """A sound request without its body. `fields` have lower-case names, in order."""

    method: str
    target: bytes  # printable ASCII that begins with a slash
    path: str  # of the target, still encoded
    query: str  # what comes after the first question mark
    version: str  # "1.0" or "1.1"
    fields: Fields
    length: int | None  # bytes of the body; None: it comes in chunks
    is_last: bool  # the connection ends after the answer
    is_continue_awaited: bool  # the client holds its body back until it is told that we want it


class _Collector:
    """What llhttp calls back."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: Fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp keeps the blanks behind a value, which RFC 9112, 5.1 says are not part of it.
        self.fields.append((name.lower(), value.strip(b" \t")))


def parse_head(data: bytes) -> Head:
    """Read one head, from its first byte to its empty line and no further.

    Raises:
        Refused: 400, 417, 431 or 501.
    """
    method, target, version = parse_line(data[: data.index(b"\r\n")])
    collector = _Collector()
    try:
        httptools.HttpRequestParser(collector).feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # ignored, as RFC 9110, 7.8 allows; the message ends where we say
    except httptools.HttpParserError:
        raise Refused(400) from None
    fields = collector.fields
    if len(fields) > HEADER_COUNT:
        raise Refused(431)
    special = _special(fields)
    length = _length(special, version)
    _check_host(special, version)
    path, _, query = target.decode("ascii").partition("?")
    return Head(
        method.decode("ascii"),
        target,
        path,
        query,
        version,
        fields,
        length,
        _is_last(special, version),
        _is_continue_awaited(special, version) and length != 0,
    )


def check_fields(method: bytes, target: bytes, fields: Fields) -> bool:
    """Judge what came as fields of h2 as `parse_head` judges a head; `fields` with their Host.

    Returns whether the client holds its body back.

    Raises:
        Refused: 400, 417, 431 or 501.
    """
    parse_line(b"%b %b HTTP/1.1" % (method, target))
    if len(fields) > HEADER_COUNT:
        raise Refused(431)
    special = _special(fields)
    _length(special, "1.1")
    _check_host(special, "1.1")
    return _is_continue_awaited(special, "1.1")


def parse_line(line: bytes) -> tuple[bytes, bytes, str]:
    """Method, target and version of a request line.

    Raises:
        Refused: 400 or 501.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise Refused(400)
    method, target, version = match.groups()
    if method not in METHODS:
        raise Refused(501)
    if version not in (b"1.1", b"1.0") or not _TARGET.fullmatch(target):
        raise Refused(400)
    return method, target, version.decode("ascii")


def check_beginning(data: bytes, seen: int) -> None:
    """Refuse early what can be no head, whose end is not here yet; `seen` bytes were checked.

    Raises:
        Refused: 400, 431 or 501.
    """
    if len(data) >= HEAD_LIMIT:
        raise Refused(431)
    # A bare LF would let the head end where others see none; and it would never end for us.
    if not _TOKEN_START.match(data) or _BARE_LF.search(data, seen):
        raise Refused(400)
    line = data.find(b"\r\n", max(seen - 1, 0))
    if line >= 0 and data.find(b"\r\n", 0, line) < 0:
        parse_line(data[:line])


def _special(fields: Fields) -> dict[bytes, bytes]:
    """The fields that decide the framing, each of which may come once."""
    special: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in _SPECIAL:
            if name not in special:
                special[name] = value
            elif name in _LISTS:
                special[name] += b"," + value
            else:
                raise Refused(400)
    return special


def _length(special: dict[bytes, bytes], version: str) -> int | None:
    """How long the body is. Source: RFC 9112, 6.3, without its leniencies."""
    length, coding = special.get(b"content-length"), special.get(b"transfer-encoding")
    if length is None and coding is None:
        return 0
    # Proxies before us may end a message that asks for another protocol before its body.
    if b"upgrade" in special and length != b"0":
        raise Refused(400)
    if coding is not None:
        # Both together, or a coding in HTTP/1.0, is an attempt to smuggle a request.
        if length is not None or version == "1.0":
            raise Refused(400)
        if coding.lower() != b"chunked":
            raise Refused(501)
        return None
    if length is None or not _LENGTH.fullmatch(length):
        raise Refused(400)
    return int(length)


def _check_host(special: dict[bytes, bytes], version: str) -> None:
    host = special.get(b"host")
    if host is None:
        if version != "1.0":
            raise Refused(400)
    elif not _HOST.fullmatch(host):
        raise Refused(400)


def _is_last(special: dict[bytes, bytes], version: str) -> bool:
    if version == "1.0":
        return True  # its keep-alive was never specified well enough to be safe
    options = special.get(b"connection")
    return options is not None and b"close" in {
        option.strip(b" \t") for option in options.lower().split(b",")
    }


def _is_continue_awaited(special: dict[bytes, bytes], version: str) -> bool:
    expected = special.get(b"expect")
    if expected is None or version == "1.0":  # RFC 9110, 10.1.1: ignored in HTTP/1.0
        return False
    if expected.lower() != b"100-continue":
        raise Refused(417)
    return True
