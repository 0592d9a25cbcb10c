"""Sending an answer: in pieces, without the loop waiting for a disk, and whole or not at all."""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import trio

from cas.verbs import Store
from frontend.domain.message import Response, Slice
from frontend.errors import KNOWN_ERRORS, error_response
from frontend.server.body import Body, Receive
from frontend.server.outlet import Outlet

# Bytes in memory for each download, of which an h2 connection may have 32 that nobody takes. What
# HTTP/1.1 asks for seldom comes this way: the connection answers it.
PIECE: Final = 256 << 10
SMALL_BODY: Final = 64 << 10  # bytes of an unread body that are cheaper to read than to close for
SMALL_SECONDS: Final = 0.5  # for them to come, before the answer: they are sent with the head

# Reads that block on a disk at the same time; more would only queue there.
_readers = trio.CapacityLimiter(16)

_log = logging.getLogger("orlop.connection")

Send = Callable[[Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Way:
    """ASGI's two, and what the server offers besides."""

    receive: Receive
    send: Send
    outlet: Outlet | None = None


async def deliver(response: Response, body: Body, way: Way, store: Store | None = None) -> None:
    """Send `response`, then deal with what the client still sends of its `body`.

    Raises:
        Damaged: the answer had begun: the server must end the connection.
    """
    with _closing(response):
        response = await _extended(response, store)
        is_kept = await _can_keep(body)
        headers = response.headers if is_kept else (*response.headers, ("Connection", "close"))
        await way.send(
            {
                "type": "http.response.start",
                "status": int(response.status),
                "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
            }
        )
        has_body = bool(response.body) or response.flow is not None
        if has_body and not await _send_while_connected(response, way):
            return
        if not is_kept:
            await body.drain()
        await way.send({"type": "http.response.body", "body": b"", "more_body": False})


async def _extended(response: Response, store: Store | None) -> Response:
    """Renew the lease that the answer promises, before it promises."""
    if response.extend is None or store is None:
        return response
    try:
        await store.extend(response.extend.image, response.extend.digest)
    except KNOWN_ERRORS as error:
        return error_response(error, method="HEAD")  # nothing else asks for a lease
    return response


async def _can_keep(body: Body) -> bool:
    """Whether the connection can take another request after this answer."""
    if body.is_read:
        return True
    is_small = body.content_length is not None and body.content_length <= SMALL_BODY
    if is_small and not body.is_held_back:
        with trio.move_on_after(SMALL_SECONDS):
            await body.drain()
    return body.is_read


async def _send_while_connected(response: Response, way: Way) -> bool:
    """Send the body's bytes; stop, and return False, as soon as nobody takes them any more."""
    is_large = any(isinstance(part, Slice) and len(part) > PIECE for part in response.body)
    if not is_large and response.flow is None:
        await _send_parts(response, way)
        return True
    is_whole = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when_gone, way.receive, nursery.cancel_scope)
        is_whole = await _are_parts_sent(response, way)
        nursery.cancel_scope.cancel()
    return is_whole


async def _are_parts_sent(response: Response, way: Way) -> bool:
    """Send all parts; False: what was on its way does not come, as the log says."""
    try:
        await _send_parts(response, way)
    except KNOWN_ERRORS as error:
        if response.flow is None:
            raise
        _log.warning("an answer was cut short: %s", error)
        return False
    return True


async def _cancel_when_gone(receive: Receive, scope: trio.CancelScope) -> None:
    await wait_gone(receive)
    scope.cancel()


async def wait_gone(receive: Receive) -> None:
    """Wait until the client, whose request was read, sends nothing more."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_parts(response: Response, way: Way) -> None:
    for part in response.body:
        await _send_part(part, way)
    if response.flow is not None:
        async with contextlib.aclosing(response.flow.iter_parts()) as parts:
            async for each in parts:
                await _send_part(each, way)


async def _send_part(part: Slice | bytes, way: Way) -> None:
    if isinstance(part, Slice):
        await _send_slice(part, way)
    else:
        await _send_body(part, way)


async def _send_slice(part: Slice, way: Way) -> None:
    if way.outlet is not None and part.blob.extents and len(part) > PIECE:
        await _send_body(b"", way)  # or the head would come behind it
        await way.outlet(part)
        return
    for start in range(part.start, part.stop, PIECE):
        stop = min(start + PIECE, part.stop)
        if part.blob.extents:
            data = await trio.to_thread.run_sync(part.blob.read, start, stop, limiter=_readers)
        else:
            data = part.blob.read(start, stop)  # in memory already
        await _send_body(data, way)


async def _send_body(data: bytes, way: Way) -> None:
    await way.send({"type": "http.response.body", "body": data, "more_body": True})


@contextlib.contextmanager
def _closing(response: Response) -> Iterator[None]:
    try:
        yield
    finally:
        for part in response.body:
            if isinstance(part, Slice):
                part.blob.close()
        if response.flow is not None:
            response.flow.close()
