"""One upstream, asked: what comes of good answers and of bad ones."""

import pytest
import trio

from cas.digest import Digest
from frontend.domain.fields import Rate
from frontend.domain.urls import UrlInvalid
from frontend.upstream.answers import Wanted
from frontend.upstream.errors import (
    BlobMissing,
    ManifestMissing,
    NameMissing,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamFault,
    UpstreamLimited,
    UpstreamUnavailable,
)
from frontend.upstream.transport import Patience
from tests.upstream.faulty import answer, sending

CONTENT = b'{"schemaVersion": 2}'
DIGEST = Digest.of(CONTENT)
MANIFEST = Wanted("app", "manifests", "v1", ("application/x", "application/y"))
BLOB = Wanted("app", "blobs", str(DIGEST))
TAGS = Wanted("app", "tags")
QUICK = Patience(connect_seconds=0.1, head_seconds=0.1, stall_seconds=0.1)
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


async def get(client, wanted=MANIFEST, limit=1 << 20):
    async with client.open("GET", wanted) as found:
        return await found.read(limit)


async def test_an_answer_has_what_the_upstream_says(faulty):
    faulty.behave = sending(
        answer(200, CONTENT, "Content-Type: application/x", f"Docker-Content-Digest: {DIGEST}",
               'ETag: "a"', "ratelimit-limit: 100;w=21600", "RateLimit-Remaining: 99;w=21600")
    )  # fmt: skip
    client = faulty.client()

    async with client.open("GET", MANIFEST) as found:
        content = await found.read(100)

    assert (content, found.length, found.digest) == (CONTENT, len(CONTENT), DIGEST)
    assert (found.media_type, found.tag, found.next_query) == ("application/x", '"a"', None)
    health = client.health()
    assert (health.limit, health.remaining) == (Rate(100, 21600), Rate(99, 21600))
    assert (health.requests, health.failures, health.bytes_fetched) == (1, 0, len(CONTENT))


async def test_a_request_says_what_is_wanted_and_nothing_of_who_wants_it(faulty):
    faulty.behave = sending(answer(200, CONTENT))

    await get(faulty.client())

    asked = faulty.requests[0]
    assert (asked.method, asked.target) == ("GET", "/v2/app/manifests/v1")
    assert asked.headers == {
        "host": f"upstream.example:{faulty.port}",
        "user-agent": "orlop",
        "accept-encoding": "identity",
        "accept": "application/x, application/y",
    }


async def test_head_has_no_body_and_its_connection_is_used_again(faulty):
    faulty.behave = sending(answer(200, b"", f"Docker-Content-Digest: {DIGEST}", length=7))
    client = faulty.client()

    for _ in range(3):
        async with client.open("HEAD", MANIFEST) as found:
            assert (found.length, await found.read(10)) == (7, b"")

    assert faulty.connections == 1


@pytest.mark.parametrize("status", [200, 404])
async def test_a_connection_is_used_again_once_its_answer_was_read(faulty, status):
    faulty.behave = sending(answer(status, CONTENT))
    client = faulty.client()

    for _ in range(3):
        try:
            await get(client)
        except ManifestMissing:
            assert status == 404

    assert faulty.connections == 1


async def test_who_leaves_early_closes_the_connection(faulty):
    faulty.behave = sending(answer(200, b"x" * 1000))
    client = faulty.client()

    async with client.open("GET", BLOB) as found:
        assert await found.receive_into(memoryview(bytearray(10))) == 10
    assert len(await get(client, BLOB)) == 1000

    assert faulty.connections == 2
    assert await found.receive_into(memoryview(bytearray(10))) == 0


async def test_a_connection_that_was_closed_meanwhile_is_replaced(faulty):
    async def behave(asked, stream):
        await stream.send_all(answer(200, CONTENT))
        return False

    faulty.behave = behave
    client = faulty.client()

    for _ in range(3):
        assert await get(client) == CONTENT

    assert client.health().failures == 0


async def test_an_answer_behind_the_answer_is_not_the_next_one(faulty):
    faulty.behave = sending(answer(200, CONTENT) + answer(200, b"poison"))
    client = faulty.client()

    assert [await get(client), await get(client)] == [CONTENT, CONTENT]
    assert faulty.connections == 2


@pytest.mark.parametrize(
    "parts",
    [
        [HEAD + CHUNKED + b"14\r\n" + CONTENT + b"\r\n0\r\n\r\n"],
        [HEAD + CHUNKED + b"5;x=y\r\n" + CONTENT[:5],
         b"\r\nf\r\n" + CONTENT[5:] + b"\r\n0\r\nTrailer: x\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\n" + answer(200, CONTENT)],
        [answer(200, CONTENT)[:9], answer(200, CONTENT)[9:70], answer(200, CONTENT)[70:]],
    ],
)  # fmt: skip
async def test_bodies_come_in_all_forms(faulty, parts):
    faulty.behave = sending(*parts)
    client = faulty.client()

    assert [await get(client), await get(client)] == [CONTENT, CONTENT]
    assert faulty.connections == 1


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_body_may_end_with_the_connection(faulty, version):
    async def behave(asked, stream):
        await stream.send_all(f"HTTP/{version} 200 OK\r\n\r\n".encode() + CONTENT)
        return False

    faulty.behave = behave
    client = faulty.client()

    async with client.open("GET", MANIFEST) as found:
        assert found.length is None
        assert await found.read(100) == CONTENT


@pytest.mark.parametrize(
    ("status", "wanted", "kind"),
    [
        (404, MANIFEST, ManifestMissing), (404, BLOB, BlobMissing), (404, TAGS, NameMissing),
        (400, MANIFEST, ManifestMissing), (410, BLOB, BlobMissing), (501, TAGS, NameMissing),
        (405, Wanted("app", "referrers", str(DIGEST)), NameMissing),
        (401, MANIFEST, UpstreamDenied), (403, BLOB, UpstreamDenied),
        (429, MANIFEST, UpstreamLimited), (500, MANIFEST, UpstreamUnavailable),
        (502, BLOB, UpstreamUnavailable), (503, BLOB, UpstreamUnavailable),
        (408, BLOB, UpstreamUnavailable),
        (204, BLOB, UpstreamBroken), (206, BLOB, UpstreamBroken), (304, BLOB, UpstreamBroken),
        (418, BLOB, UpstreamBroken), (599, BLOB, UpstreamUnavailable),
    ],
)  # fmt: skip
async def test_each_status_is_a_fault_of_its_own(faulty, status, wanted, kind):
    body = b"" if status in (204, 304) else b'{"errors":[{"code":"SOME_CODE","message":"x"}]}'
    faulty.behave = sending(answer(status, body, "Content-Range: bytes 0-9/10"))

    with pytest.raises(kind) as caught:
        await get(faulty.client(), wanted)

    assert type(caught.value) is kind
    assert str(faulty.port) in caught.value.told
    assert ("SOME_CODE" in caught.value.told) == (status not in (204, 206, 304))


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ([], UpstreamUnavailable),
        ([HEAD], UpstreamBroken),
        ([b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], UpstreamBroken),
        ([HEAD + b"A: " + b"x" * 100_000 + b"\r\n\r\n"], UpstreamBroken),
        ([HEAD + b"A: b\r\n" * 1000 + b"\r\n"], UpstreamBroken),
        ([b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100], UpstreamBroken),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"], UpstreamBroken),
        ([HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"], UpstreamBroken),
        ([HEAD + b"Content-Length: 5\r\n" + CHUNKED + b"0\r\n\r\n"], UpstreamBroken),
        ([HEAD + b"Transfer-Encoding: gzip\r\n\r\nhello"], UpstreamBroken),
        ([HEAD + CHUNKED + b"xyz\r\n"], UpstreamBroken),
        ([HEAD + CHUNKED + b"5\r\nhel"], UpstreamBroken),
        ([HEAD + b"Content-Length: -5\r\n\r\n"], UpstreamBroken),
        ([answer(200, CONTENT, length=len(CONTENT) + 1)], UpstreamBroken),
        ([answer(200, CONTENT, "Content-Encoding: gzip")], UpstreamBroken),
    ],
)  # fmt: skip
async def test_what_cannot_be_an_answer_is_none(faulty, parts, kind):
    async def behave(asked, stream):
        for part in parts:
            await stream.send_all(part)
        return False

    faulty.behave = behave
    client = faulty.client()

    with pytest.raises(kind) as caught:
        await get(client, limit=1000)

    assert type(caught.value) is kind
    assert client.health().failures == 1


async def test_a_manifest_may_be_too_long(faulty):
    faulty.behave = sending(answer(200, b"x" * 2000))

    with pytest.raises(UpstreamBroken):
        await get(faulty.client(), limit=1999)
    assert len(await get(faulty.client(), limit=2000)) == 2000


async def test_a_layer_under_the_name_of_gzip_is_handed_on_as_it_is(faulty):
    faulty.behave = sending(answer(200, CONTENT, "Content-Encoding: gzip"))

    assert await get(faulty.client(), BLOB) == CONTENT


async def test_a_reset_in_the_middle_is_an_end_too_early(faulty):
    async def behave(asked, stream):
        await stream.send_all(answer(200, CONTENT, length=1000))
        await trio.testing.wait_all_tasks_blocked(0.01)
        stream.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return False

    faulty.behave = behave

    with pytest.raises(UpstreamBroken):
        await get(faulty.client(), BLOB)


async def test_a_list_has_pages(faulty):
    faulty.behave = sending(answer(200, b"{}", 'Link: </v2/app/tags/list?last=b&n=2>; rel="next"'))
    client = faulty.client()

    async with client.open("GET", TAGS) as found:
        query = found.next_query
    async with client.open("GET", Wanted("app", "tags", query=query)):
        pass

    assert query == "last=b&n=2"
    assert [asked.target for asked in faulty.requests] == [
        "/v2/app/tags/list", "/v2/app/tags/list?last=b&n=2"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wanted", [Wanted("../x", "blobs", "a"), Wanted("a", "tags", query="x\r\n")]
)
async def test_what_is_no_name_is_never_asked_for(faulty, wanted):
    with pytest.raises(UrlInvalid):
        await get(faulty.client(), wanted)

    assert faulty.connections == 0


async def test_no_more_connections_than_are_allowed(faulty):
    busy = [0, 0]

    async def behave(asked, stream):
        busy[0] += 1
        busy[1] = max(busy)
        await trio.sleep(0.01)
        busy[0] -= 1
        await stream.send_all(answer(200, CONTENT))
        return True

    faulty.behave = behave
    client = faulty.client(connections=3)

    async with trio.open_nursery() as nursery:
        for _ in range(12):
            nursery.start_soon(get, client)

    assert busy[1] == 3
    assert len(faulty.requests) == 12


async def test_nobody_there_is_no_answer(faulty):
    for url in ("http://127.0.0.1:1", "http://gone.example"):
        with pytest.raises(UpstreamFault) as caught:
            await get(faulty.client(url=url))
        assert type(caught.value) is UpstreamUnavailable
