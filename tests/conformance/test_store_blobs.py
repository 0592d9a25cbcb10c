"""Stored bytes: what every `cas.verbs.Store` must do, written against the Protocol only."""

import socket
from contextlib import closing

import pytest

from cas.digest import Digest
from cas.errors import (
    BlobUnknown,
)
from index.changes import Unlink
from tests.cas.pushing import (
    GZIP,
    IMAGE,
    drift,
    is_linked,
    noise,
    pull,
    push,
)

CONTENT = noise(200_000)
DIGEST = Digest.of(CONTENT)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="5 bytes"),
        pytest.param(noise(64 << 10), id="64 KiB"),
        pytest.param(noise((64 << 10) + 1), id="64 KiB and one"),
        pytest.param(noise(3 << 20), id="3 MiB"),
        pytest.param(GZIP + noise(5 << 20), id="gzip"),
        pytest.param(bytes(3 << 20), id="zeros"),
        pytest.param(noise(100_000) * 30, id="repeated"),
        pytest.param(noise(17 << 20), id="17 MiB", marks=pytest.mark.slow),
    ],
)
async def test_what_was_pushed_is_what_is_pulled(store, content):
    digest = await push(store, content)

    assert pull(store, digest) == content
    assert is_linked(store, IMAGE, digest)
    assert await drift(store) == []


@pytest.mark.parametrize("size", [1, 5, 65_537, 300_000])
async def test_any_range_of_a_blob_can_be_read(store, size):
    content = noise(size)
    digest = await push(store, content)

    with closing(store.read(lambda view: view.open(digest))) as blob:
        for start, stop in [(0, 1), (0, size), (size - 1, size), (size // 3, size // 2)]:
            assert blob.read(start, stop) == content[start:stop]


def sent_of(blob, start, stop) -> bytes:
    """The bytes that `send` puts on a socket, one call after the other."""
    ours, theirs = socket.socketpair()
    received = bytearray()
    with ours, theirs:
        ours.setblocking(False)
        while start < stop:
            try:
                sent = blob.send(ours, start, stop)
            except BlockingIOError:
                received += theirs.recv(1 << 20)
            else:
                assert 0 < sent <= stop - start
                start += sent
        ours.close()
        while data := theirs.recv(1 << 20):
            received += data
    return bytes(received)


def peeked_of(blob, start, stop) -> bytes:
    """The bytes that `peek` returns, one call after the other."""
    parts = []
    while start < stop:
        parts.append(blob.peek(start, stop))
        assert 0 < len(parts[-1]) <= stop - start
        start += len(parts[-1])
    return b"".join(parts)


@pytest.mark.parametrize("content", [b"inline", noise(300_000), noise(90_000) * 9, GZIP + CONTENT])
async def test_what_was_loaded_can_be_sent_without_waiting(store, content):
    digest = await push(store, content)

    with closing(store.read(lambda view: view.open(digest))) as blob:
        for start, stop in [(0, len(content)), (1, 2), (len(content) // 2, len(content) - 1)]:
            blob.load(start, stop)
            assert sent_of(blob, start, stop) == content[start:stop]
            assert peeked_of(blob, start, stop) == content[start:stop]


async def test_to_send_to_a_peer_that_left_is_an_os_error(store):
    digest = await push(store, CONTENT)
    ours, theirs = socket.socketpair()
    theirs.close()

    with ours, closing(store.read(lambda view: view.open(digest))) as blob:
        blob.load(0, 10)
        with pytest.raises(OSError, match="pipe"):
            blob.send(ours, 0, 10)


async def test_a_range_is_clamped_to_the_size(store):
    digest = await push(store, CONTENT)

    with closing(store.read(lambda view: view.open(digest))) as blob:
        assert blob.read(199_990, 1 << 40) == CONTENT[199_990:]
        assert blob.read(200_000, 200_001) == b""


async def test_what_shares_bytes_with_a_stored_blob_is_whole_too(store):
    first = noise(1 << 20, "base")
    second = first[:400_000] + b"changed" + first[500_000:]

    digests = [await push(store, content) for content in (first, second)]

    assert [pull(store, digest) for digest in digests] == [first, second]
    assert await drift(store) == []


async def test_a_blob_held_open_stays_readable_when_everything_else_of_it_goes(store):
    digest = await push(store, CONTENT)

    with closing(store.read(lambda view: view.open(digest))) as blob:
        await store.commit([Unlink(IMAGE, digest.key)])
        await push(store, noise(200_000, "another"))

        assert blob.read(0, blob.size) == CONTENT


async def test_a_blob_may_be_closed_twice(store):
    digest = await push(store, CONTENT)
    blob = store.read(lambda view: view.open(digest))

    blob.close()
    blob.close()


async def test_a_blob_is_closed_by_its_block(store):
    digest = await push(store, b"inline")

    with store.read(lambda view: view.open(digest)) as blob:
        assert blob.read(0, 6) == b"inline"


async def test_to_open_what_was_never_pushed_is_blob_unknown(store):
    with pytest.raises(BlobUnknown) as caught:
        store.read(lambda view: view.open(DIGEST))

    assert caught.value.digest == DIGEST


async def test_an_error_of_the_look_leaves_it_as_it_is(store):
    def look(view):
        raise LookupError(view.revision())

    with pytest.raises(LookupError):
        store.read(look)


async def test_one_look_may_open_many_blobs(store):
    contents = [noise(70_000, seed) for seed in range(12)]
    digests = [await push(store, content) for content in contents]

    blobs = store.read(lambda view: [view.open(digest) for digest in digests])

    assert [blob.read(0, blob.size) for blob in blobs] == contents
    for blob in blobs:
        blob.close()
