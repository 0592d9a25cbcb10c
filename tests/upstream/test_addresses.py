"""From a name to a connection."""

import socket
import threading
from ipaddress import ip_address

import pytest
import trio

from frontend.domain.networks import Allowance
from frontend.upstream import addresses
from frontend.upstream.addresses import LOOKUPS, SystemResolver, dial
from frontend.upstream.errors import AddressRefused, UpstreamUnavailable

OURS = Allowance(frozenset({"own.example"}))


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def saying(*texts):
    async def resolve(host, port):
        return [ip_address(text) for text in texts]

    return resolve


async def connect(listener, *texts, host="own.example"):
    port = listener.getsockname()[1]
    found = await dial(host, port, OURS, "upstream", saying(*texts))
    found.close()


async def test_the_first_address_that_answers_is_taken(listener):
    await connect(listener, "127.0.0.2", "::1", "127.0.0.1")


@pytest.mark.parametrize("position", range(3))
async def test_one_bad_address_spoils_all_and_none_is_dialled(listener, position):
    texts = ["127.0.0.1", "127.0.0.1"]
    texts.insert(position, "169.254.169.254")

    with pytest.raises(AddressRefused, match="not allowed"):
        await connect(listener, *texts)

    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


async def test_strangers_are_not_let_in_by_name(listener):
    with pytest.raises(AddressRefused):
        await connect(listener, "127.0.0.1", host="else.example")


async def test_an_address_that_does_not_answer_holds_up_nobody(listener, monkeypatch):
    monkeypatch.setattr(addresses, "STAGGER", 0.01)
    real, closed = addresses._connect, []

    async def connect_slowly(address, port):
        if str(address) == "127.0.0.9":
            try:
                await trio.sleep_forever()
            finally:
                closed.append(address)
        return await real(address, port)

    monkeypatch.setattr(addresses, "_connect", connect_slowly)

    with trio.fail_after(5):
        await connect(listener, "127.0.0.9", "127.0.0.1")

    assert len(closed) == 1


async def test_of_two_that_answer_at_once_one_is_closed(listener, monkeypatch):
    monkeypatch.setattr(addresses, "STAGGER", 0.001)
    real, made, both = addresses._connect, [], trio.Event()

    async def connect_together(address, port):
        made.append(own := await real(address, port))
        if len(made) == 2:
            both.set()
        with trio.CancelScope(shield=True):
            await both.wait()
        return own

    monkeypatch.setattr(addresses, "_connect", connect_together)

    await connect(listener, "127.0.0.1", "127.0.0.1")

    assert [each.fileno() for each in made] == [-1, -1]


async def test_all_reasons_are_told():
    with pytest.raises(UpstreamUnavailable) as caught:
        await dial("own.example", 1, OURS, "upstream", saying("127.0.0.1", "::1"))

    assert "no connection to own.example:1: Connection refused" in caught.value.told


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("label"), None])
async def test_a_name_without_an_address_is_told(error):
    async def failing(host, port):
        if error is not None:
            raise error
        return []

    with pytest.raises(UpstreamUnavailable, match="does not answer"):
        await dial("own.example", 1, OURS, "upstream", failing)


async def test_the_system_is_asked():
    resolve = SystemResolver()

    assert ip_address("127.0.0.1") in await resolve("localhost", 80)
    assert await resolve("2130706433", 80) == [ip_address("127.0.0.1")]


async def test_a_resolver_that_hangs_is_left_behind_and_holds_up_nobody_else(monkeypatch):
    released = threading.Event()

    def hang(host, *_, **__):
        if host == "dead.example":
            released.wait(10)
        return [(None, None, None, "", ("127.0.0.1", 80))]

    monkeypatch.setattr(addresses.socket, "getaddrinfo", hang)
    one, other = SystemResolver(), SystemResolver()

    with trio.move_on_after(0.05):
        async with trio.open_nursery() as nursery:
            for _ in range(LOOKUPS + 1):
                nursery.start_soon(one, "dead.example", 80)
    with trio.move_on_after(0.05) as scope:
        await one("alive.example", 80)
    assert scope.cancelled_caught
    assert await other("alive.example", 80) == [ip_address("127.0.0.1")]

    released.set()
    assert await one("alive.example", 80) == [ip_address("127.0.0.1")]
