"""Whatever is sent, over many connections and for minutes: sound answers to sound requests only.

ORLOP_FUZZ_SECONDS=3600 ORLOP_FUZZ_SEED=7 pytest -m slow -s tests/frontend/test_fuzz.py
"""

import contextlib
import itertools
import os
import random
import re
import socket
import sys
import sysconfig
import time
from dataclasses import dataclass
from urllib.parse import parse_qs

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies as st

from tests.frontend.bystander import bystander
from tests.frontend.live import BASIC, digest_of, read_to_end
from tests.frontend.process import ROOT, Process, process
from tests.frontend.strict import (
    Answered,
    Asked,
    Malformed,
    Unfinished,
    iter_requests,
    read_answers,
)
from tests.frontend.tracing import read_calls, traced

SECONDS = float(os.environ.get("ORLOP_FUZZ_SECONDS", "120"))
SEED = int(os.environ.get("ORLOP_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
HEADER_SECONDS = 3
SLACK_SECONDS = 10  # for a busy machine
EXAMPLES = 100  # between two looks at the server
OPENING = ("open", "openat", "openat2", "creat")
MEMORY = 64 << 20  # bytes that upload sessions and what is remembered may take

IMAGE = "/v2/local/images/app"
BLOB, LARGE = b"content", bytes(range(256)) * 512
AUTH = f"Authorization: {BASIC}\r\n".encode()
HOST = b"Host: x\r\n"


# --- what is sent ----------------------------------------------------------------------------


def request(method: str, target: str, *fields: bytes, body: bytes = b"", auth: bytes = AUTH):
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    line = f"{method} {target} HTTP/1.1\r\n".encode()
    return line + HOST + auth + b"".join(fields) + length + b"\r\n" + body


def chunked(method: str, target: str, *chunks: bytes, trailers: bytes = b"") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks)
    head = request(method, target, b"Transfer-Encoding: chunked\r\n")
    return head + body + b"0\r\n" + trailers + b"\r\n"


PUSH = f"{IMAGE}/blobs/uploads/?digest={digest_of(BLOB)}"
SOUND = [
    request("GET", "/healthz", auth=b""),
    request("GET", "/v2/", auth=b""),
    request("GET", "/v2/"),
    request("GET", f"{IMAGE}/blobs/{digest_of(BLOB)}"),
    request("HEAD", f"{IMAGE}/blobs/{digest_of(BLOB)}"),
    request("GET", f"{IMAGE}/blobs/{digest_of(LARGE)}", b"Range: bytes=5-70000\r\n"),
    request("GET", f"{IMAGE}/blobs/{digest_of(LARGE)}", b"Range: bytes=0-1,9-10\r\n"),
    request("GET", f"{IMAGE}/blobs/{digest_of(BLOB)}", b"If-None-Match: *\r\n"),
    request("GET", f"{IMAGE}/manifests/none", b"Accept: a/b, */*;q=0.1\r\n"),
    request("GET", f"{IMAGE}/tags/list?n=5&last=a"),
    request("GET", "/v2/_catalog?n=1"),
    request("POST", PUSH, body=BLOB),
    request("POST", PUSH, b"Expect: 100-continue\r\n", body=BLOB),
    chunked("POST", PUSH, BLOB[:3], BLOB[3:], trailers=b"X: y\r\n"),
    request("GET", "/healthz", body=b"0\r\n\r\n", auth=b""),
    chunked("GET", "/healthz", b"abc", trailers=b"Content-Length: 3\r\n"),
    request("PATCH", f"{IMAGE}/blobs/uploads/none", b"Content-Range: 0-2\r\n", body=b"abc"),
    request("PUT", f"{IMAGE}/manifests/t", b"Content-Type: a/b\r\n", body=b'{"schemaVersion":2}'),
    request("DELETE", f"{IMAGE}/manifests/none"),
    request("OPTIONS", "/v2/"),
    request("GET", "/healthz", b"Connection: close\r\n", auth=b""),
    request("GET", "/healthz", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", auth=b""),
    b"GET /healthz HTTP/1.0\r\n\r\n",
]
PARTS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"/", b"//", b"..", b"%00", b"%2e",
    b"%", b"?", b"#", b"\\", b"\"", b"\xff", b"\x7f", b"\xc0\xaf", b"0", b"-1", b"+5", b"0x5",
    b"9" * 30,
    b"chunked", b"HTTP/1.1", b"HTTP/0.9", b"HTTP/2.0", b"GET", b"HEAD", b"TRACE", b"x" * 300,
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n",
    b"Host: evil\r\n", b"Expect: 100-continue\r\n", b"Expect: x\r\n", b"Upgrade: websocket\r\n",
    b" folded\r\n", b"X: y\r\n", b"X: " + b"y" * 40_000 + b"\r\n", b"X: y\r\n" * 120, AUTH,
    b"Authorization: Bearer x.y.z\r\n", b"Range: bytes=-1\r\n", b"0\r\n\r\n", b"3\r\nabc\r\n",
    b"http://evil/", b"*",
]  # fmt: skip


ENDS = [b"\n", b"\r", b"", b" \r\n", b"\r\n ", b"\r\n\r\n", b"\r\r\n", b";x\r\n", b"\0\r\n", b" : "]


@st.composite
def _mutated(draw) -> bytes:
    """A sound request with something in the wrong place: anywhere, a line more, or a line's end."""
    sent = draw(st.sampled_from(SOUND))
    for _ in range(draw(st.integers(1, 3))):
        ends = [match.start() for match in re.finditer(b"\r\n", sent)] or [0]
        match draw(st.integers(0, 3)):
            case 0:
                at = draw(st.integers(0, len(sent)))
                cut = draw(st.sampled_from([0, 0, 0, 1, 2, 20]))
                new = draw(st.sampled_from(PARTS) | st.binary(max_size=4))
            case 1:
                at, cut = draw(st.sampled_from(ends)) + 2, 0
                new = draw(st.sampled_from([each for each in PARTS if each.endswith(b"\r\n")]))
            case 2:
                at, cut = sent.find(b"Host: ") + 6, 1
                new = draw(st.sampled_from([b".", b"..", b"a..b", b"[", b":", b"@", b"x" * 70]))
            case _:
                at, cut = draw(st.sampled_from(ends)), 2
                new = draw(st.sampled_from(ENDS))
        sent = sent[:at] + new + sent[at + cut :]
    return sent


@dataclass
class Stream:
    """What one connection sends: `data`, cut at `cuts`."""

    data: bytes
    cuts: list[int]

    def pieces(self) -> list[bytes]:
        places = sorted({0, len(self.data), *(cut % (len(self.data) + 1) for cut in self.cuts)})
        return [self.data[at:to] for at, to in itertools.pairwise(places)]


MESSAGES = st.sampled_from(SOUND) | _mutated() | st.binary(max_size=60)
STREAMS = st.builds(
    Stream,
    st.lists(MESSAGES, min_size=1, max_size=5).map(b"".join),
    st.lists(st.integers(0, 1 << 20), max_size=5),
)


# --- what may come back ----------------------------------------------------------------------


def judge(sent: bytes, received: bytes) -> None:
    """Fail if what came back is not what may come back."""
    asked = list(iter_requests(sent))
    try:
        answers = read_answers(received, [each.method for each in asked])
    except (Malformed, Unfinished) as error:
        pytest.fail(f"not whole or not HTTP: {error!r}\nsent {sent!r}\nreceived {received!r}")
    problem = _problem(asked, answers)
    assert problem is None, f"{problem}\nsent {sent!r}\nreceived {received[:2000]!r}"


def _problem(asked: list[Asked], answers: list[Answered]) -> str | None:
    if len(answers) > len(asked) + 1:
        return f"{len(asked)} sound requests, {len(answers)} answers"
    for number, answer in enumerate(answers):
        if answer.status >= 500 and answer.status not in (501, 505):
            return f"answer {number} is {answer.status}"
        if answer.status < 400:
            if number >= len(asked):
                return f"answer {number} is {answer.status}, to what is no request"
            if not _may_succeed(asked[number], answer):
                return f"answer {number} is {answer.status}"
    is_closing = bool(answers) and b"close" in answers[-1].fields.get(b"connection", b"")
    if not is_closing and len(answers) < len(asked) and asked[len(answers)].body is not None:
        return f"request {len(answers)} has no answer"
    return None


def _may_succeed(asked: Asked, answer: Answered) -> bool:
    path, _, query = asked.target.decode("ascii").partition("?")
    said = asked.fields.get(b"authorization", b"")
    # Spaces between the scheme and what follows may be several: RFC 9110, 11.4.
    if path.startswith("/v2") and re.sub(b"^Basic +", b"Basic ", said) != BASIC.encode():
        return False
    if asked.method not in (b"GET", b"HEAD", b"OPTIONS") and asked.body is None:
        return False
    digest = parse_qs(query).get("digest")
    if answer.status == 201 and asked.method == b"POST" and digest is not None:
        algorithm = digest[0].partition(":")[0]
        return digest_of(asked.body or b"", algorithm) == digest[0]
    return True


def test_the_judge_takes_what_is_sound_for_sound():
    for sent in SOUND:
        (asked,) = iter_requests(sent)
        assert asked.body is not None

    (first, second) = iter_requests(SOUND[13] + SOUND[0] + b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
    assert (first.body, second.target) == (BLOB, b"/healthz")


# --- the run ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_whatever_is_sent_answers_are_whole_and_only_sound_requests_succeed(tmp_path):
    sys.stdout.write(f"\nORLOP_FUZZ_SEED={SEED} for {SECONDS:.0f} s\n")
    dice = random.Random(SEED)  # noqa: S311 - the same run again
    with process(tmp_path, http__header_seconds=HEADER_SECONDS) as server:
        server.push("local/images/app", LARGE)
        path = server.push("local/images/app", BLOB)
        attack(server, dice, SECONDS / 10)  # warm
        memory, opened, pid = server.memory(), len(server.descriptors()), server.pid
        with bystander(server, path, BLOB):
            count = attack(server, dice, SECONDS * 0.6)
            with traced(pid, tmp_path / "strace", "-e", f"trace={','.join(OPENING)}"):
                count += attack(server, dice, SECONDS * 0.3)
        sys.stdout.write(f"{count} examples\n")

        assert server.is_alive
        assert server.memory() - memory < MEMORY
        assert len(server.descriptors()) <= opened + 4
    # Python's own modules may still be loaded late; nothing that a client names is near them.
    allowed = (str(server.data), str(ROOT), sysconfig.get_path("stdlib"))
    for call in read_calls(tmp_path / "strace"):
        if call.name not in OPENING:
            continue  # strace lists calls that it has no name for, such as cachestat, in any case
        place = re.search(r'"([^"]*)"', call.text)
        assert place is not None, call.text
        assert place[1].startswith(allowed), call.text
        assert "/../" not in place[1], call.text


def attack(server: Process, dice: random.Random, seconds: float) -> int:
    """Send examples for so long; returns how many."""
    until, count = time.monotonic() + seconds, 0

    @settings(
        max_examples=EXAMPLES, database=None, deadline=None, derandomize=False,
        phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(STREAMS, min_size=1, max_size=4))
    def send(streams: list[Stream]) -> None:
        nonlocal count
        count += 1
        for stream, received in zip(streams, exchange(server, streams), strict=True):
            judge(stream.data, received)

    while time.monotonic() < until:
        seed(dice.randrange(1 << 32))(send)()
        assert server.is_alive
    return count


def exchange(server: Process, streams: list[Stream]) -> list[bytes]:
    """Send all streams at once, piece by piece, and read what comes until each is closed."""
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(server.connect()) for _ in streams]
        pending = [(peer, stream.pieces()) for peer, stream in zip(peers, streams, strict=True)]
        for peer in peers:
            peer.settimeout(HEADER_SECONDS + SLACK_SECONDS)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while any(pieces for _, pieces in pending):
            for peer, pieces in pending:
                if pieces:
                    with contextlib.suppress(ConnectionError):  # it is refused already
                        peer.sendall(pieces.pop(0))
        for peer in peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_WR)
        try:
            return [read_to_end(peer) for peer in peers]
        except TimeoutError:
            pytest.fail(f"a connection sticks: {streams!r}")
