"""Pushing blobs: sessions, chunks, and the forms that need no session.

Source: distribution-spec, "Pushing blobs". A body of at most 64 KiB that comes whole is put into
the index with its link, in one commit; everything else is staged, adopted and linked. What cannot
fit the repository's quota is refused before it is taken; its session keeps what it held.
"""

import contextlib
from dataclasses import replace
from typing import Final

import trio

from cas.digest import Digest, is_supported
from cas.errors import DigestInvalid, DigestMismatch, OffsetMismatch, UploadUnknown
from cas.verbs import Adopt, Owner, Upload
from frontend.domain.faults import RangeInvalid, SizeInvalid
from frontend.domain.message import Response
from frontend.domain.paging import first
from frontend.domain.ranges import parse_content_range, upload_range
from frontend.domain.routes import BlobUpload, BlobUploads
from frontend.errors import error_response
from frontend.registry.call import Call
from frontend.registry.mounts import mount
from frontend.registry.rules import Room
from frontend.server.body import Body, Prefetch
from frontend.server.groups import sole_leaf
from frontend.server.intake import Intake
from index.changes import INLINE_LIMIT, ImageName, Link, PutObject
from index.records import Repository

EMPTY: Final = ("Content-Length", "0")
END_SECONDS: Final = 5.0  # to remove a staged file although the request was cancelled


async def begin(call: Call, route: BlobUploads) -> Response:
    """POST: begin a session, or take or mount a whole blob."""
    record = call.require("push", route.name)
    parameters = call.parameters
    mounted = first(parameters, "mount")
    if mounted is not None:
        digest = Digest.parse(mounted)
        if await mount(call, route.name, digest, first(parameters, "from")):
            return created(route.name, digest)
    whole = first(parameters, "digest")
    if whole is not None and mounted is None:
        digest = Digest.parse(whole)
        return await _push_whole(call, route.name, digest, call.room(record, route.name, digest))
    algorithm = first(parameters, "digest-algorithm") or "sha256"
    if not is_supported(algorithm):
        raise DigestInvalid(algorithm)
    upload, _ = await call.store.stage(_owner(call, route.name, algorithm))
    return _progress(202, route.name, upload)


async def append(call: Call, route: BlobUpload) -> Response:
    """PATCH: append a chunk, or a stream, to a session."""
    upload, record = await _resume(call, route)
    try:
        await _take(call, upload, call.room(record, route.name))
    except (RangeInvalid, OffsetMismatch) as error:
        return _out_of_order(call, route.name, upload, error)
    return _progress(202, route.name, upload)


async def finish(call: Call, route: BlobUpload) -> Response:
    """PUT: append the last chunk, if any, and make the session a blob."""
    upload, record = await _resume(call, route)
    text = first(call.parameters, "digest")
    try:
        digest = Digest.parse(text or "")
    except DigestInvalid:
        await _end(upload)
        raise
    try:
        if upload.size == 0 and _is_small(call):
            return await _finish_small(call, route, upload, digest)
        await _take(call, upload, call.room(record, route.name, digest))
    except (RangeInvalid, OffsetMismatch) as error:
        return _out_of_order(call, route.name, upload, error)
    await _adopt(call, route.name, upload, digest)
    return created(route.name, digest)


async def status(call: Call, route: BlobUpload) -> Response:
    """GET and HEAD: how much the session holds."""
    upload, _ = await _resume(call, route)
    return _progress(204, route.name, upload)


async def cancel(call: Call, route: BlobUpload) -> Response:
    """DELETE: end the session."""
    upload, _ = await _resume(call, route)
    await upload.cancel()
    return Response(204)


def created(image: ImageName, digest: Digest) -> Response:
    """The answer when `image` may serve `digest` from now on."""
    location = ("Location", f"/v2/{image}/blobs/{digest}")
    return Response(201, (location, ("Docker-Content-Digest", str(digest)), EMPTY))


async def _resume(call: Call, route: BlobUpload) -> tuple[Upload, Repository]:
    record = call.require("push", route.name)
    # The algorithm is the session's own: it is part of the id, and of the id's MAC.
    upload, _ = await call.store.stage(_owner(call, route.name), session=route.id)
    return upload, record


async def _push_whole(call: Call, image: ImageName, digest: Digest, room: Room) -> Response:
    if _is_small(call):
        await _put_small(call, image, digest)
        return created(image, digest)
    upload, _ = await call.store.stage(_owner(call, image, digest.algorithm))
    is_done = False
    try:
        await _take(call, upload, room)
        await _adopt(call, image, upload, digest)
        is_done = True
    finally:
        if not is_done:  # nobody was told the session's name, so nobody can go on with it
            with trio.move_on_after(END_SECONDS, shield=True):
                await _end(upload)
    return created(image, digest)


async def _finish_small(call: Call, route: BlobUpload, upload: Upload, digest: Digest) -> Response:
    _check_range(call, 0)
    try:
        await _put_small(call, route.name, digest)
    except DigestMismatch:
        await _end(upload)
        raise
    await _end(upload)
    return created(route.name, digest)


async def _put_small(call: Call, image: ImageName, digest: Digest) -> None:
    content = await call.body.read_all(INLINE_LIMIT)
    actual = Digest.of(content, digest.algorithm)
    if actual != digest:
        raise DigestMismatch(digest, actual)
    lease = call.registry.settings.gc.lease_seconds
    put = PutObject(digest.key, content)
    await call.commit("push", image, (put, Link(image, digest.key, lease)))


async def _adopt(call: Call, image: ImageName, upload: Upload, digest: Digest) -> None:
    lease = call.registry.settings.gc.lease_seconds
    adopt = Adopt(upload.id, digest, _owner(call, image))
    changes = (adopt, Link(image, digest.key, lease))
    await call.commit("push", image, changes, size=upload.size)


async def _take(call: Call, upload: Upload, room: Room) -> None:
    """Append the body. What arrived before an error stays, so that the client can go on."""
    offset = upload.size
    length = _check_range(call, offset)
    if call.body.content_length == 0:
        return
    room.check(offset + (call.body.content_length or 0))
    began = offset
    with call.upload_place():
        offset = await _append_all(call.body, upload, offset, room)
    if length is not None and offset - began != length:
        raise SizeInvalid(length, offset - began)


async def _append_all(body: Body, upload: Upload, offset: int, room: Room) -> int:
    """Append block by block while the next one arrives; returns the new size."""
    if body.intake is not None:
        offset = await _receive(body.intake, upload, offset)
    blocks = Prefetch(body)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(blocks.run)
            async for block in blocks.receive:
                if body.content_length is None:  # else there was room for all of it
                    room.check(offset + sum(map(len, block)))
                offset = await upload.append(offset, *block)
    except BaseExceptionGroup as group:  # of the nursery: one error, wrapped
        raise sole_leaf(group) from None
    blocks.check()
    return offset


async def _receive(intake: Intake, upload: Upload, offset: int) -> int:
    """Have the store take what comes fast; returns the new size. What is left is to be read."""
    held = await intake.begin()
    if held:
        offset = await upload.append(offset, held)
    while most := await intake.wait_arrived():
        size = await upload.receive(offset, intake, most)
        if size == offset:
            break  # a system that cannot do this: it is read
        intake.took(size - offset)
        offset = size
    return offset


def _check_range(call: Call, size: int) -> int | None:
    """The length of the chunk that Content-Range announces; None without it.

    Raises:
        BlobUploadInvalid, RangeInvalid: it cannot be read, or does not begin at `size`.
        SizeInvalid: Content-Length says something else.
    """
    text = call.request.headers.get("content-range")
    if text is None:
        return None
    span = parse_content_range(text)
    length = span.stop - span.start
    announced = call.body.content_length
    if announced is not None and announced != length:
        raise SizeInvalid(length, announced)
    if span.start != size:
        raise RangeInvalid(text, size)
    return length


def _is_small(call: Call) -> bool:
    length = call.body.content_length
    return length is not None and length <= INLINE_LIMIT


def _owner(call: Call, image: ImageName, algorithm: str = "sha256") -> Owner:
    return Owner(image, call.request.principal.name, algorithm)


async def _end(upload: Upload) -> None:
    with contextlib.suppress(UploadUnknown):  # it ended by itself
        await upload.cancel()


def _session_headers(image: ImageName, upload: Upload) -> tuple[tuple[str, str], ...]:
    return (
        ("Location", f"/v2/{image}/blobs/uploads/{upload.id}"),
        ("Range", upload_range(upload.size)),
        ("Docker-Upload-UUID", upload.id),
    )


def _progress(status: int, image: ImageName, upload: Upload) -> Response:
    headers = _session_headers(image, upload)
    return Response(status, headers if status == 204 else (*headers, EMPTY))


def _out_of_order(
    call: Call, image: ImageName, upload: Upload, error: RangeInvalid | OffsetMismatch
) -> Response:
    """416, with where the upload is, so that the client can go on there."""
    answer = error_response(error, method=call.request.method)
    return replace(answer, headers=(*answer.headers, *_session_headers(image, upload)))
