"""Frames without end, and streams that end while others go on. Hardening §1."""

import contextlib
import time

import pytest
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.frontend.h2_client import HEAD, Peer, unharmed
from tests.frontend.live import BASIC, digest_of, read_to_end

UPLOAD = f"/v2/local/images/x/blobs/uploads/?digest={digest_of(b'')}"
CALM, CANCEL = 11, 8


def test_rapid_resets_end_the_connection(h2_live):
    with unharmed(h2_live), Peer(h2_live) as peer:
        for number in range(1, 10_001, 2):
            if peer.is_over:
                break
            block = peer.h2.encoder.encode(HEAD)
            head = HeadersFrame(number, block, flags=["END_HEADERS", "END_STREAM"])
            peer.send(head, RstStreamFrame(number, CANCEL))
        peer.wait_for_end()

    assert peer.goodbye == CALM


def _headers_that_never_end(peer):
    block = peer.h2.encoder.encode(HEAD)
    yield HeadersFrame(1, block, flags=["END_STREAM"])
    block = peer.h2.encoder.encode([(b"x", b"y" * 4_000)])
    for _ in range(200):
        yield ContinuationFrame(1, block)


def _blanks(frame, count):
    return lambda peer: (frame() for _ in range(count))


def _empty_data(peer):
    yield HeadersFrame(1, peer.h2.encoder.encode(HEAD), flags=["END_HEADERS"])
    for _ in range(5000):
        yield DataFrame(1)


def _after_its_answer(frame):
    def flood(peer):
        yield HeadersFrame(1, peer.h2.encoder.encode(HEAD), flags=["END_HEADERS", "END_STREAM"])
        yield from [frame] * 20_000

    return flood


def _data_by_the_byte(peer):
    head = [(b":method", b"POST"), *HEAD[1:2], (b":path", UPLOAD.encode())]
    head += [(b":authority", b"x"), (b"authorization", BASIC.encode())]
    yield HeadersFrame(1, peer.h2.encoder.encode(head), flags=["END_HEADERS"])
    yield from [DataFrame(1, b"x")] * 20_000


FLOODS = {
    "continuation": _headers_that_never_end,
    "empty continuation": lambda peer: (
        [HeadersFrame(1, peer.h2.encoder.encode(HEAD))] + [ContinuationFrame(1)] * 5000
    ),
    "settings": _blanks(lambda: SettingsFrame(0, {SettingCodes.HEADER_TABLE_SIZE: 4096}), 20_000),
    "settings answers": _blanks(lambda: SettingsFrame(0, flags=["ACK"]), 20_000),
    "ping": _blanks(lambda: PingFrame(0, b"12345678"), 20_000),
    "resets of nothing": _blanks(lambda: RstStreamFrame(1, CANCEL), 20_000),
    "empty data": _empty_data,
    "data by the byte": _data_by_the_byte,
    "data after the end": _after_its_answer(DataFrame(1)),
    "windows": _blanks(lambda: WindowUpdateFrame(0, window_increment=1), 20_000),
    "windows after the end": _after_its_answer(WindowUpdateFrame(1, window_increment=1)),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_ends_the_connection(h2_live, flood):
    with unharmed(h2_live), Peer(h2_live) as peer:
        for frame in FLOODS[flood](peer):
            if peer.is_over:
                break
            peer.send(frame)
        with contextlib.suppress(ProtocolError):  # what we said confuses our own side of it too
            peer.wait_for_end()
        with contextlib.suppress(ConnectionError):
            read_to_end(peer.socket)  # or it takes too long


def test_what_a_client_offers_to_keep_of_our_fields_is_not_all_used(h2_live):
    with Peer(h2_live) as peer:
        peer.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: 1 << 24})
        peer.flush()

        assert peer.get("/healthz").status == 200
        assert peer.h2.decoder.header_table_size == 4096


def test_a_client_may_open_a_window_for_every_frame_it_gets(h2_live):
    image = h2_live.image()
    place = f"/v2/{image}/blobs/{h2_live.push(image, b'x' * 100_000)}"
    with Peer(h2_live) as peer:
        for start in range(0, 100_000, 100):
            number = peer.ask("GET", place, (b"range", b"bytes=%d-%d" % (start, start)), body=b"")
            peer.send(*[WindowUpdateFrame(0, window_increment=1)] * 3)
            peer.wait(number)

        assert peer.goodbye is None


@pytest.mark.slow
def test_an_answer_that_is_reset_leaves_the_others_whole(h2_live):
    image, content = h2_live.image(), bytes(range(256)) * (12 << 12)
    place = f"/v2/{image}/blobs/{h2_live.push(image, content)}"
    with Peer(h2_live, window=(1 << 31) - 1) as peer:
        peer.h2.increment_flow_control_window(1 << 30)
        numbers = [peer.ask("GET", place, body=b"") for _ in range(5)]
        for number in numbers[:-1]:  # whichever of them is being sent when the socket is full
            time.sleep(0.3)
            peer.h2.reset_stream(number)
            peer.flush()
        kept = peer.wait(numbers[-1])[0]

    assert kept.body == content
