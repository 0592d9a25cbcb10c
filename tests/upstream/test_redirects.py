"""Where an upstream leads, and where we do not go."""

import secrets

import pytest

from frontend.upstream.answers import Wanted
from frontend.upstream.errors import (
    AddressRefused,
    RedirectRefused,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamUnavailable,
)
from tests.upstream.faulty import HOST, answer

BLOB = Wanted("app", "blobs", "sha256:" + "0" * 64)
BASIC = answer(401, b"", 'WWW-Authenticate: Basic realm="x"')
OTHER = "other.example"


def redirecting(location, content=b"hello", status=307):
    """Redirect what is asked of /v2/, answer all else; 401 for who does not say who he is."""

    async def behave(asked, stream):
        if not asked.target.startswith("/v2/"):
            await stream.send_all(answer(200, content))
        elif "authorization" not in asked.headers:
            await stream.send_all(BASIC)
        else:
            await stream.send_all(answer(status, b"go there", f"Location: {location}"))
        return True

    return behave


async def get(client, wanted=BLOB):
    async with client.open("GET", wanted) as found:
        return b"".join([block async for block in found.iter_blocks()])


def known(faulty, *allow, **more):
    return faulty.client(*allow, user="me", password=secrets.token_urlsafe(12), **more)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_another_host_is_asked_without_authorization(faulty, status):
    faulty.names[OTHER] = ["127.0.0.1"]
    faulty.behave = redirecting(faulty.url("/blob?sig=x", OTHER), status=status)

    assert await get(known(faulty, OTHER)) == b"hello"

    last = faulty.requests[-1]
    assert (last.target, last.headers["host"]) == ("/blob?sig=x", f"{OTHER}:{faulty.port}")
    assert "authorization" not in last.headers
    assert "authorization" in faulty.requests[-2].headers


async def test_another_port_of_the_same_host_is_another_origin(faulty, nursery):
    second = type(faulty)(nursery, redirecting(""))
    await second.begin()
    faulty.behave = redirecting(second.url("/blob"))

    assert await get(known(faulty)) == b"hello"
    assert "authorization" not in second.requests[0].headers


async def test_the_same_origin_is_told_who_asks(faulty):
    faulty.behave = redirecting("/elsewhere")

    assert await get(known(faulty)) == b"hello"
    assert "authorization" in faulty.requests[-1].headers


async def test_who_was_elsewhere_and_comes_back_is_a_stranger(faulty):
    faulty.names[OTHER] = ["127.0.0.1"]

    async def behave(asked, stream):
        back = faulty.url("/back") if asked.headers["host"].startswith(OTHER) else ""
        if asked.target == "/back":
            await stream.send_all(answer(200, b"hello"))
        elif back:
            await stream.send_all(answer(307, b"", f"Location: {back}"))
        else:
            await redirecting(faulty.url("/away", OTHER))(asked, stream)
        return True

    faulty.behave = behave

    assert await get(known(faulty, OTHER)) == b"hello"
    assert faulty.requests[-1].target == "/back"
    assert "authorization" not in faulty.requests[-1].headers


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "::1", "fd12::1", "169.254.169.254", "fe80::1",
     "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "0.1.0.0", "224.0.0.1", "fd00:ec2::254"],
)  # fmt: skip
async def test_inner_addresses_of_others_are_never_dialled(faulty, address):
    faulty.names[OTHER] = ["192.0.2.1", address]
    literal = f"[{address}]" if ":" in address else address

    for host in (OTHER, literal):
        if literal == "127.0.0.1" and host == literal:
            continue  # tested by name: this is where the upstream is
        faulty.behave = redirecting(faulty.url("/blob", host))
        with pytest.raises(AddressRefused) as caught:
            await get(known(faulty))
        assert "proxy.allow" in caught.value.told

    assert {asked.headers["host"] for asked in faulty.requests} == {f"{HOST}:{faulty.port}"}


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "::ffff:169.254.0.1"])
async def test_the_upstream_itself_may_be_inner_but_not_on_this_link(faulty, address):
    faulty.names[HOST] = [address, "127.0.0.1"]

    with pytest.raises(AddressRefused):
        await get(faulty.client(HOST, "169.254.0.0/16"))

    assert faulty.connections == 0


async def test_a_name_is_resolved_once_for_each_connection_and_that_address_dialled(faulty):
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    faulty.behave = redirecting("/same")

    async def resolve(host, port):
        faulty.names[host] = answers.pop(0)
        return await type(faulty).resolve(faulty, host, port)

    faulty.resolve = resolve
    client = known(faulty)

    assert await get(client) == b"hello"
    assert await get(client) == b"hello"  # on the connection that is there: nobody is asked again
    assert faulty.resolved == [HOST]


@pytest.mark.parametrize("allow", ["127.0.0.0/8", OTHER])
async def test_what_is_allowed_may_be_inner(faulty, allow):
    faulty.names[OTHER] = ["127.0.0.1"]
    faulty.behave = redirecting(faulty.url("/blob", OTHER))

    assert await get(known(faulty, allow)) == b"hello"


@pytest.mark.parametrize(
    "location",
    ["http://me:you@upstream.example/", "http://good.example\\@evil.example/", "ftp://upstream.example/",
     "file:///etc/passwd", "http://2130706433/", "http://127.1/", "gopher:x"],
)  # fmt: skip
async def test_a_redirect_to_what_is_no_proper_url_is_refused(faulty, location):
    faulty.behave = redirecting(location)

    with pytest.raises(RedirectRefused):
        await get(known(faulty))


async def test_five_redirects_are_followed_and_no_more(faulty):
    async def behave(asked, stream):
        left = int(asked.headers.get("x", "0"))
        number = int(asked.target.rpartition("/")[2] if left == 0 and "hop" in asked.target else 0)
        if number == faulty.hops:
            await stream.send_all(answer(200, b"hello"))
        else:
            await stream.send_all(answer(302, b"", f"Location: /hop/{number + 1}"))
        return True

    faulty.behave = behave
    faulty.hops = 5
    client = faulty.client()

    assert await get(client) == b"hello"
    faulty.hops = 6
    with pytest.raises(RedirectRefused, match="not allowed"):
        await get(client)
    assert len(faulty.requests) == 6 + 6


async def test_a_redirect_to_nowhere_is_no_answer(faulty):
    async def behave(asked, stream):
        await stream.send_all(answer(302))
        return True

    faulty.behave = behave

    with pytest.raises(UpstreamBroken):
        await get(faulty.client())


async def test_a_challenge_of_another_host_is_not_answered(faulty):
    faulty.names[OTHER] = ["127.0.0.1"]

    async def behave(asked, stream):
        if asked.headers["host"].startswith(OTHER):
            await stream.send_all(BASIC)
        else:
            await stream.send_all(answer(307, b"", f"Location: {faulty.url('/x', OTHER)}"))
        return True

    faulty.behave = behave

    with pytest.raises(UpstreamDenied):
        await get(known(faulty, OTHER))
    assert len(faulty.requests) == 2
    assert not any("authorization" in asked.headers for asked in faulty.requests)


async def test_a_host_that_is_not_there_is_an_upstream_that_does_not_answer(faulty):
    faulty.behave = redirecting("http://gone.example/")

    with pytest.raises(UpstreamUnavailable) as caught:
        await get(known(faulty))

    assert "gone.example" in caught.value.told
    assert "gone.example" not in str(caught.value)
