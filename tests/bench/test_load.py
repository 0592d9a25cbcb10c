"""The load generators against a small server that answers what it is told to."""

import socketserver
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.pull import pull
from bench.sample import MeasurementFailed
from bench.servers import Server
from bench.wire import Answer, Connection, expect, location_of
from bench.writes import in_threads

BODY = b"x" * 300_000
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n" + BODY


@contextmanager
def answering(octets, *, head=None, closes=False):
    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            try:
                while line := self.rfile.readline():
                    while self.rfile.readline().strip():
                        pass
                    self.wfile.write(head if head and line.startswith(b"HEAD") else octets)
                    if closes:
                        return
            except OSError:
                pass  # the load ends in the middle of an answer

    class Threads(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Threads(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Server("fake", listener.server_address[1], None, "image", "", "", Path())
        finally:
            listener.shutdown()
            thread.join()


def test_pulled_bytes_are_those_of_bodies_and_everyone_has_a_share():
    with answering(WHOLE) as server:
        load = pull(server, "/", clients=4, seconds=0.1)

    assert load.operations > 0
    assert 0 <= load.octets - load.operations * len(BODY) < 4 * len(BODY)
    assert 0 < load.latency.p50 <= load.latency.p99
    assert 0 <= load.fairness <= 1


def test_an_answer_to_head_has_no_body():
    with answering(b"", head=WHOLE[: -len(BODY)]) as server:
        load = pull(server, "/", clients=2, seconds=0.05, method="HEAD")

    assert load.operations > 2
    assert load.octets == 0


@pytest.mark.parametrize("extra", [b"", b"Connection: close\r\n"], ids=["unsaid", "said"])
def test_a_server_that_closes_after_its_answer_is_asked_again(extra):
    octets = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + extra + b"\r\nok"
    with answering(octets, closes=True) as server:
        load = pull(server, "/", clients=1, seconds=0.05)

    assert load.operations > 1
    assert load.octets == 2 * load.operations


@pytest.mark.parametrize(
    ("octets", "closes"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nlong", False),
        (WHOLE[:1000], True),
    ],
    ids=["refused", "no length", "too long", "cut"],
)
def test_a_wrong_answer_is_a_failure(octets, closes):
    with answering(octets, closes=closes) as server, pytest.raises(MeasurementFailed):
        pull(server, "/", clients=1, seconds=0.5)


def test_the_connection_reads_bodies_with_a_length_and_in_chunks():
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n"
    )
    for octets, body in ((WHOLE, BODY), (chunked, b"abcde")):
        with answering(octets) as server, Connection(server) as connection:
            answers = [connection.request("GET", "/") for _ in range(2)]

        assert [answer.body for answer in answers] == [body, body]


def test_an_unexpected_status_is_a_failure():
    with pytest.raises(MeasurementFailed):
        expect(Answer(503, {}, b"busy"), 200, 201)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/a/blobs/uploads/1", "/v2/a/blobs/uploads/1?digest=d"),
        ("http://127.0.0.1:1/v2/u?_state=s%3D", "/v2/u?_state=s%3D&digest=d"),
    ],
)
def test_an_upload_goes_on_where_the_answer_says(location, target):
    assert location_of(Answer(202, {"location": location}, b""), digest="d") == target


def test_threads_do_everything_once_and_tell_of_a_failure():
    server = Server("fake", 1, None, "image", "", "", Path())
    done = []

    latencies = in_threads(server, lambda _, thing: done.append(thing), list(range(20)))

    assert sorted(done) == list(range(20))
    assert len(latencies) == 20
    with pytest.raises(MeasurementFailed):
        in_threads(server, lambda *_: expect(Answer(500, {}, b""), 201), [1, 2, 3])


def test_a_server_that_never_answers_in_time_has_a_rate_of_nothing():
    with answering(b"") as server:
        load = pull(server, "/", clients=2, seconds=0.02)

    assert (load.operations, load.octets, load.fairness) == (0, 0, 0.0)
    assert load.latency.p50 >= 0.02
