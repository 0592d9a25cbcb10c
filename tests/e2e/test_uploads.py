"""Uploads as only a hand-made client makes them: interleaved, cut off, and continued elsewhere."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus

import pytest

from tests.e2e.oci import CONFIG, MANIFEST, digest_of
from tests.e2e.registry import Answer, Registry

PIECE = 8 << 20  # bytes of one PATCH
LONG = 64 << 20  # bytes of a PATCH that is cut off: sockets hold less than a quarter of it
TRIES = 50
UPLOADS = "/v2/local/images/uploads/blobs/uploads/"
BLOBS = "/v2/local/images/uploads/blobs/"
MANIFESTS = "/v2/local/images/uploads/manifests/"


class OffsetRefused(AssertionError):
    """The upload has another size than the PATCH begins at: 416."""


def begin(registry: Registry) -> str:
    answer = registry.ask("POST", UPLOADS)
    assert answer.status == HTTPStatus.ACCEPTED
    return answer.headers["Location"]


def append(registry: Registry, location: str, piece: bytes, offset: int) -> str:
    """PATCH `piece` at `offset`; return the next Location."""
    content_range = f"{offset}-{offset + len(piece) - 1}"
    headers = {"Content-Range": content_range, "Content-Type": "application/octet-stream"}
    answer = registry.ask("PATCH", location, piece, headers)
    if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise OffsetRefused
    assert answer.status == HTTPStatus.ACCEPTED
    assert answer.headers["Range"] == f"0-{offset + len(piece) - 1}"
    return answer.headers["Location"]


def finish(registry: Registry, location: str, content: bytes) -> Answer:
    joint = "&" if "?" in location else "?"
    return registry.ask("PUT", f"{location}{joint}digest={digest_of(content)}", b"")


def push(registry: Registry, content: bytes) -> None:
    location = append(registry, begin(registry), content, 0)
    assert finish(registry, location, content).status == HTTPStatus.CREATED


def pull(registry: Registry, content: bytes) -> bytes:
    return registry.ask("GET", BLOBS + digest_of(content)).body


def reached(registry: Registry, location: str) -> tuple[int, str]:
    """Ask how many bytes an upload has, and where it goes on."""
    answer = registry.ask("GET", location)
    assert answer.status == HTTPStatus.NO_CONTENT
    return int(answer.headers["Range"].removeprefix("0-")) + 1, answer.headers["Location"]


@contextmanager
def half_sent(registry: Registry, location: str, piece: bytes, offset: int) -> Iterator[None]:
    """Announce a PATCH of `piece`, send half of it, and break the connection at the end.

    `piece` is much larger than what sockets hold, so the server has begun to take it.
    """
    connection = registry.connect()
    try:
        connection.putrequest("PATCH", location.removeprefix(f"http://{registry.address}"))
        connection.putheader("Authorization", registry.authorization)
        connection.putheader("Content-Type", "application/octet-stream")
        connection.putheader("Content-Length", str(len(piece)))
        connection.putheader("Content-Range", f"{offset}-{offset + len(piece) - 1}")
        connection.endheaders()
        connection.send(piece[: len(piece) // 2])
        yield
    finally:
        connection.close()


def carry_on(registry: Registry, location: str, content: bytes) -> str:
    """PATCH what is missing. The broken connection may still be emptied, so ask again if 416."""
    for _ in range(TRIES):
        offset, location = reached(registry, location)
        assert offset >= PIECE
        with suppress(OffsetRefused):
            return append(registry, location, content[offset:], offset)
    pytest.fail("the upload kept growing although its connection was broken")


def test_interleaved_uploads_of_the_same_blob_both_succeed(registry):
    content = os.urandom(2 * PIECE)
    locations = [begin(registry), begin(registry)]
    for offset in (0, PIECE):
        piece = content[offset : offset + PIECE]
        locations = [append(registry, location, piece, offset) for location in locations]

    answers = [finish(registry, location, content) for location in locations]

    assert [answer.status for answer in answers] == [HTTPStatus.CREATED] * 2
    assert pull(registry, content) == content


def test_an_upload_whose_connection_broke_goes_on_at_the_offset_it_reached(registry):
    content = os.urandom(PIECE + LONG)
    location = append(registry, begin(registry), content[:PIECE], 0)

    with half_sent(registry, location, content[PIECE:], PIECE):
        pass
    location = carry_on(registry, location, content)

    assert finish(registry, location, content).status == HTTPStatus.CREATED
    assert pull(registry, content) == content


def test_an_upload_goes_on_after_the_server_was_killed_in_the_middle_of_it(own_orlop):
    registry = own_orlop.registry
    content = os.urandom(PIECE + LONG)
    with own_orlop.serve() as process:
        location = append(registry, begin(registry), content[:PIECE], 0)
        with half_sent(registry, location, content[PIECE:], PIECE):
            process.kill()
            process.wait()

    with own_orlop.serve():
        offset, location = reached(registry, location)
        assert offset >= PIECE
        location = append(registry, location, content[offset:], offset)

        assert finish(registry, location, content).status == HTTPStatus.CREATED
        assert pull(registry, content) == content


def test_everything_answered_201_is_there_after_the_server_was_killed(own_orlop):
    registry = own_orlop.registry
    config, layer = b"{}", os.urandom(PIECE)
    manifest = json.dumps({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [
            {"mediaType": "application/x-random", "digest": digest_of(layer), "size": len(layer)}
        ],
    }).encode()  # fmt: skip
    with own_orlop.serve() as process:
        push(registry, config)
        push(registry, layer)
        answer = registry.ask("PUT", MANIFESTS + "1", manifest, {"Content-Type": MANIFEST})
        process.kill()
    assert answer.status == HTTPStatus.CREATED

    with own_orlop.serve():
        assert pull(registry, config) == config
        assert pull(registry, layer) == layer
        by_tag = registry.ask("GET", MANIFESTS + "1", headers={"Accept": MANIFEST})
        assert by_tag.body == manifest
        assert by_tag.headers["Content-Type"] == MANIFEST
