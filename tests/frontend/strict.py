"""HTTP/1.1 read by the letter, with none of the server's own code: what may be answered, and how.

Source: RFC 9112, without what it allows a server to forgive. What it leaves open (any extension of
a chunk, characters in a target that RFC 3986 has not) is taken as possible.
"""

from dataclasses import dataclass

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
DIGITS = b"0123456789"
TOKEN = DIGITS + b"!#$%&'*+-.^_`|~abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Malformed(Exception):
    """Not HTTP/1.1."""


class Unfinished(Exception):
    """It could be, if more came."""


@dataclass
class Asked:
    """A sound request. `body` is None when not all of it was sent, or it is not framed well."""

    method: bytes
    target: bytes
    version: bytes
    fields: dict[bytes, bytes]
    body: bytes | None = None

    @property
    def is_last(self) -> bool:
        options = self.fields.get(b"connection", b"").lower().split(b",")
        return self.version == b"HTTP/1.0" or b"close" in [option.strip() for option in options]


@dataclass
class Answered:
    """A whole answer."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes


def iter_requests(sent: bytes):
    """The sound requests at the beginning of what was sent; then nothing more may be served."""
    while True:
        sent = sent.removeprefix(b"\r\n")
        try:
            asked, rest = _request(sent)
        except (Malformed, Unfinished):
            return
        try:
            asked.body, sent = _body(asked.fields, rest)
        except (Malformed, Unfinished):
            yield asked
            return
        yield asked
        if asked.is_last:
            return


def read_answers(received: bytes, methods: list[bytes]) -> list[Answered]:
    """All answers to requests of these methods; one that was refused is none of them.

    Raises:
        Malformed, Unfinished
    """
    answers: list[Answered] = []
    while received:
        line, fields, received = _head(received)
        version, _, rest = line.partition(b" ")
        status, _, reason = rest.partition(b" ")
        _demand(version == b"HTTP/1.1" and len(status) == 3 and _all(status, DIGITS), line)
        _demand(_is_text(reason), line)
        if status.startswith(b"1"):
            _demand(not fields, line)
            continue
        method = methods[len(answers)] if len(answers) < len(methods) else b""
        body = b""
        if method != b"HEAD" and status not in (b"204", b"304"):
            _demand(b"content-length" in fields or b"transfer-encoding" in fields, line)
            body, received = _body(fields, received)
        answers.append(Answered(int(status), fields, body))
    return answers


def _request(sent: bytes) -> tuple[Asked, bytes]:
    line, fields, rest = _head(sent)
    parts = line.split(b" ")
    _demand(len(parts) == 3, line)
    method, target, version = parts
    _demand(method in METHODS and version in (b"HTTP/1.1", b"HTTP/1.0"), line)
    _demand(target.startswith(b"/") and all(0x21 <= byte <= 0x7E for byte in target), line)
    _demand(not set(target) & set(b'#"<>'), line)
    _demand(version == b"HTTP/1.0" or b"host" in fields, line)
    _demand(not (version == b"HTTP/1.0" and b"transfer-encoding" in fields), line)
    _demand(not set(fields.get(b"host", b"")) & set(b' \t/?#@\\"<>'), line)
    return Asked(method, target, version, fields), rest


def _head(data: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """First line, fields and the rest."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        raise Unfinished(data[:200])
    line, *lines = head.split(b"\r\n")
    _demand(_is_text(line) and line, line)
    fields: dict[bytes, bytes] = {}
    for each in lines:
        name, colon, value = each.partition(b":")
        _demand(colon and name and _all(name, TOKEN) and _is_text(value), each)
        name, value = name.lower(), value.strip(b" \t")
        once = name in (b"host", b"content-length", b"transfer-encoding", b"expect")
        _demand(not (once and name in fields), each)
        fields[name] = fields[name] + b", " + value if name in fields else value
    length = fields.get(b"content-length")
    _demand(length is None or (length and _all(length, DIGITS)), head)
    _demand(fields.get(b"transfer-encoding", b"chunked").lower() == b"chunked", head)
    _demand(not {b"content-length", b"transfer-encoding"} <= set(fields), head)
    return line, fields, rest


def _body(fields: dict[bytes, bytes], data: bytes) -> tuple[bytes, bytes]:
    """The body and what follows it."""
    if b"transfer-encoding" in fields:
        return _chunks(data)
    length = int(fields.get(b"content-length", b"0"))
    if len(data) < length:
        raise Unfinished(data[:200])
    return data[:length], data[length:]


def _chunks(data: bytes) -> tuple[bytes, bytes]:
    content = bytearray()
    while True:
        line, data = _line(data)
        size = line.partition(b";")[0].rstrip(b" \t")
        _demand(size and _all(size, DIGITS + b"abcdefABCDEF") and _is_text(line), line)
        length = int(size, 16)
        if not length:
            break
        if len(data) < length + 2:
            raise Unfinished(data[:200])
        _demand(data[length : length + 2] == b"\r\n", data[:200])
        content += data[:length]
        data = data[length + 2 :]
    while True:
        line, data = _line(data)
        if not line:
            return bytes(content), data
        name, colon, value = line.partition(b":")
        _demand(colon and name and _all(name, TOKEN) and _is_text(value), line)


def _line(data: bytes) -> tuple[bytes, bytes]:
    line, end, rest = data.partition(b"\r\n")
    if not end:
        raise Unfinished(data[:200])
    return line, rest


def _all(text: bytes, allowed: bytes) -> bool:
    return set(text) <= set(allowed)


def _is_text(text: bytes) -> bool:
    return all(byte == 9 or (byte >= 0x20 and byte != 0x7F) for byte in text)


def _demand(is_so: object, said: bytes) -> None:
    if not is_so:
        raise Malformed(said[:200])
