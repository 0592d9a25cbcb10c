"""When a connection is used again, and when it must not be."""

import pytest
import trio

from frontend.upstream.answers import Wanted
from frontend.upstream.errors import UpstreamBroken
from frontend.upstream.transport import Patience
from tests.upstream.faulty import answer, sending

CONTENT = b'{"schemaVersion": 2}'
MANIFEST = Wanted("app", "manifests", "v1")


async def get(client, method="GET"):
    async with client.open(method, MANIFEST) as found:
        return await found.read(1 << 20)


async def get_twice(client):
    return [await get(client), await get(client)]


async def test_not_after_an_answer_that_says_close(faulty):
    faulty.behave = sending(answer(200, CONTENT, "Connection: Upgrade, Close"))

    assert await get_twice(faulty.client()) == [CONTENT, CONTENT]
    assert faulty.connections == 2


async def test_not_after_a_body_where_none_belongs(faulty):
    faulty.behave = sending(answer(200, CONTENT))
    client = faulty.client()

    assert await get(client, "HEAD") == b""
    assert await get(client) == CONTENT
    assert faulty.connections == 2


@pytest.mark.parametrize("late", [b"", answer(200, b"poison")])
async def test_not_when_something_came_since(faulty, late):
    asked_again = trio.Event()

    async def behave(asked, stream):
        await stream.send_all(answer(200, CONTENT))
        if asked.connection == 1:
            await asked_again.wait()
            await stream.send_all(late)
        return bool(late)

    faulty.behave = behave
    client = faulty.client()

    first = await get(client)
    asked_again.set()
    await trio.testing.wait_all_tasks_blocked(0.01)

    assert [first, await get(client)] == [CONTENT, CONTENT]
    assert faulty.connections == 2


async def test_not_when_it_was_idle_for_too_long(faulty):
    faulty.behave = sending(answer(200, CONTENT))

    assert await get_twice(faulty.client(patience=Patience(idle_seconds=0))) == [CONTENT, CONTENT]
    assert faulty.connections == 2


async def test_who_is_not_answered_on_an_old_connection_asks_on_a_new_one(faulty):
    """The upstream closed it, and could not say so before it was asked."""

    async def behave(asked, stream):
        if sum(each.connection == asked.connection for each in faulty.requests) == 1:
            await stream.send_all(answer(200, CONTENT))
            return True
        return False

    faulty.behave = behave
    client = faulty.client()

    assert await get_twice(client) == [CONTENT, CONTENT]
    assert (faulty.connections, len(faulty.requests)) == (2, 3)
    assert client.health().failures == 0


async def test_interim_answers_have_an_end(faulty):
    async def behave(asked, stream):
        while True:
            await stream.send_all(b"HTTP/1.1 103 Early Hints\r\n\r\n")

    faulty.behave = behave

    with pytest.raises(UpstreamBroken):
        await get(faulty.client())
