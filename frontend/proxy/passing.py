"""Blobs that are passed on and not kept: a full disk ends no pull."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

from cas.digest import Digest
from frontend.domain.message import Response
from frontend.domain.routes import Blob
from frontend.proxy.replies import OCTETS, named
from frontend.registry.replies import INERT
from frontend.upstream.answers import Wanted
from frontend.upstream.client import UpstreamClient
from frontend.upstream.errors import UpstreamBroken
from frontend.upstream.transfers import Transfer, fetching


async def pass_on(client: UpstreamClient, route: Blob) -> Response:
    """Answer with the whole blob, whatever range was asked for: that is allowed, and simple.

    Raises:
        UpstreamFault: it cannot be had.
    """
    wanted = Wanted(route.name.path, "blobs", str(route.digest))
    async with AsyncExitStack() as stack:
        coming = await stack.enter_async_context(fetching(client, wanted))
        if coming.size is None:
            name = str(client.upstream.origin)
            raise UpstreamBroken(name, "it does not say how large the blob is")
        flow = Passing(stack.pop_all(), coming, route.digest)
    headers = (*named(route.digest), *INERT, OCTETS, ("Content-Length", str(coming.size)))
    return Response(200, headers, flow=flow)


class Passing:
    """The bytes of a blob on their way through (`message.Flow`); the last waits for the digest."""

    def __init__(self, stack: AsyncExitStack, coming: Transfer, digest: Digest) -> None:
        self._stack = stack
        self._coming = coming
        self._digest = digest

    async def iter_parts(self) -> AsyncGenerator[bytes, None]:
        """What comes.

        Raises:
            UpstreamFault: it broke off, or is another blob: the connection has to end.
        """
        hasher, held = hashlib.new(self._digest.algorithm), b""
        async with self._stack:
            async for block in self._coming.iter_blocks():
                hasher.update(block)
                yield held + block[:-1]
                held = block[-1:]
        if hasher.hexdigest() != self._digest.hex:
            raise UpstreamBroken("", f"other bytes than {self._digest}")
        yield held

    def close(self) -> None:
        """`iter_parts` holds nothing beyond its end."""
