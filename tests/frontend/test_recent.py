"""What is remembered of whole requests: exactly as long as it holds."""

from frontend.domain.message import Slice
from frontend.registry.recent import FOREVER, MAX_BLOCK, Answer, Recent

ASKED = b"GET / HTTP/1.1\r\nAuthorization: Basic c2VjcmV0\r\n\r\n"


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def answer(status=200, body=(b"x",), until=FOREVER):
    return Answer("GET", "/", "a", status, b"", body, False, until)


def find(recent, block, snapshot):
    return recent.find(block, lambda: snapshot)


def test_the_same_bytes_on_the_same_snapshot_get_the_same_answer():
    recent, made = Recent(), answer()
    assert find(recent, ASKED, 1) is None

    recent.keep(ASKED, 1, made)

    assert find(recent, ASKED, 1) is made
    assert find(recent, ASKED.replace(b"c2VjcmV0", b"c2VjcmV1"), 1) is None
    assert find(recent, ASKED, 2) is None


def test_the_index_is_not_asked_about_what_is_not_remembered():
    assert Recent().find(ASKED, None) is None


def test_a_newer_snapshot_ends_all_that_was_remembered():
    recent = Recent()
    recent.keep(ASKED, 1, answer())

    recent.keep(b"other", 2, answer())

    assert find(recent, ASKED, 2) is None
    assert find(recent, b"other", 2) is not None


def test_nothing_outlives_the_proof_of_who_asked():
    clock = Clock()
    recent = Recent(clock)
    recent.keep(ASKED, 1, answer(until=160.0))

    assert find(recent, ASKED, 1) is not None
    clock.now = 160.0
    assert find(recent, ASKED, 1) is None


def test_what_a_clock_decided_is_not_kept():
    recent = Recent()

    recent.keep(ASKED, 1, answer(until=0.0))

    assert find(recent, ASKED, 1) is None


def test_neither_failures_nor_open_blobs_nor_long_requests_are_kept():
    recent = Recent()

    recent.keep(ASKED, 1, answer(status=503))
    recent.keep(b"blob", 1, answer(body=(Slice(None, 0, 5),)))
    recent.keep(b"x" * (MAX_BLOCK + 1), 1, answer())

    assert find(recent, ASKED, 1) is None
    assert find(recent, b"blob", 1) is None
    assert find(recent, b"x" * (MAX_BLOCK + 1), 1) is None


def test_what_is_kept_is_bounded():
    recent = Recent()

    for number in range(100):
        recent.keep(b"%d" % number, 1, answer(body=(bytes(1 << 20),)))

    assert sum(find(recent, b"%d" % number, 1) is not None for number in range(100)) <= 10


def test_no_credential_is_kept():
    recent = Recent()

    recent.keep(ASKED, 1, answer())

    assert not any(b"c2VjcmV0" in name for name in recent._answers)
