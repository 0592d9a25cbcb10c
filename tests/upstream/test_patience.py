"""How long an upstream may take, and when it is left in peace."""

import pytest
import trio

from frontend.upstream.answers import Wanted
from frontend.upstream.breaker import State
from frontend.upstream.errors import (
    AddressRefused,
    ManifestMissing,
    UpstreamBroken,
    UpstreamLimited,
    UpstreamResting,
    UpstreamUnavailable,
)
from frontend.upstream.transport import Patience
from tests.upstream.faulty import answer, sending

CONTENT = b'{"schemaVersion": 2}'
MANIFEST = Wanted("app", "manifests", "v1")
QUICK = Patience(connect_seconds=0.1, head_seconds=0.1, stall_seconds=0.1)
HEAD = b"HTTP/1.1 200 OK\r\n"


async def get(client):
    async with client.open("GET", MANIFEST) as found:
        return await found.read(1 << 20)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 O", HEAD + b"Content-Length: 5\r\n"])
async def test_a_head_has_a_time_limit(faulty, sent):
    async def behave(asked, stream):
        for byte in sent:
            await stream.send_all(bytes([byte]))
        await trio.sleep_forever()

    faulty.behave = behave

    with pytest.raises(UpstreamUnavailable, match="does not answer") as caught:
        await get(faulty.client(patience=QUICK))

    assert "no answer within 0.1 s" in caught.value.told


async def test_a_body_may_not_stall(faulty):
    async def behave(asked, stream):
        await stream.send_all(answer(200, b"hello", length=10))
        await trio.sleep_forever()

    faulty.behave = behave
    client = faulty.client(patience=QUICK)

    with pytest.raises(UpstreamBroken) as caught:
        await get(client)

    assert "no byte for 0.1 s" in caught.value.told
    assert client.health().bytes_fetched == 5


async def test_a_body_may_not_trickle(faulty, monkeypatch):
    monkeypatch.setattr("frontend.upstream.transport.RATE_AFTER", 0.05)

    async def behave(asked, stream):
        await stream.send_all(answer(200, b"", length=1000))
        while True:
            await trio.sleep(0.01)
            await stream.send_all(b"x")

    faulty.behave = behave

    with pytest.raises(UpstreamBroken) as caught:
        await get(faulty.client())

    assert "less than 1024 bytes/s" in caught.value.told


async def test_a_slow_reader_is_no_slow_upstream(faulty, monkeypatch):
    monkeypatch.setattr("frontend.upstream.transport.RATE_AFTER", 0.05)
    faulty.behave = sending(answer(200, b"x" * 20))

    async with faulty.client().open("GET", MANIFEST) as found:
        for _ in range(20):
            await trio.sleep(0.01)
            assert await found.receive_into(memoryview(bytearray(1))) == 1


@pytest.mark.parametrize(
    "field", ["Retry-After: 300", "Retry-After: Fri, 31 Dec 2999 23:59:59 GMT"]
)
async def test_nothing_is_asked_before_the_time_that_a_429_says(faulty, field):
    faulty.behave = sending(answer(429, b"", field))
    client = faulty.client()

    for _ in range(3):
        with pytest.raises(UpstreamLimited) as caught:
            await get(client)

    assert len(faulty.requests) == 1
    assert caught.value.retry_after > 290
    assert client.health().state is State.OPEN


async def test_an_upstream_that_fails_again_and_again_is_left_in_peace(faulty):
    faulty.behave = sending(answer(503))
    client = faulty.client()

    for _ in range(10):
        with pytest.raises(UpstreamUnavailable) as caught:
            await get(client)

    assert len(faulty.requests) == 3
    assert isinstance(caught.value, UpstreamResting)
    assert "503" in caught.value.told
    assert caught.value.retry_after > 0


async def test_what_is_missing_is_no_failure(faulty):
    client = faulty.client()

    for _ in range(10):
        with pytest.raises(ManifestMissing):
            await get(client)

    health = client.health()
    assert (health.state, health.failures, health.requests) == (State.CLOSED, 0, 10)


async def test_who_gives_up_while_it_tries_leaves_the_trial_to_the_next(faulty, monkeypatch):
    monkeypatch.setattr("frontend.upstream.breaker.FIRST", 0.0)
    faulty.behave = sending(answer(503))
    client = faulty.client()
    for _ in range(3):
        with pytest.raises(UpstreamUnavailable):
            await get(client)
    faulty.behave = sending()
    with trio.move_on_after(0.05):
        await get(client)
    faulty.behave = sending(answer(200, CONTENT))

    assert await get(client) == CONTENT
    assert client.health().state is State.CLOSED


async def test_what_an_administrator_can_mend_is_shown_and_opens_nothing(faulty):
    faulty.behave = sending(answer(307, b"", "Location: http://169.254.169.254/latest"))
    client = faulty.client()

    for _ in range(5):
        with pytest.raises(AddressRefused):
            await get(client)

    health = client.health()
    assert (health.state, health.failures) == (State.CLOSED, 5)
    assert "169.254.169.254 must not be asked" in health.last_error
