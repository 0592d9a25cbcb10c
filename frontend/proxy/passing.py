"""Blobs that are passed on and not kept: a full disk ends no pull."""

import hashlib
from collections.abc import AsyncGenerator

from cas.digest import Digest
from frontend.domain.message import Response
from frontend.domain.routes import Blob
from frontend.proxy.replies import OCTETS, named
from frontend.registry.replies import INERT
from frontend.upstream.answers import Wanted
from frontend.upstream.client import UpstreamClient
from frontend.upstream.errors import UpstreamBroken
from frontend.upstream.transfers import fetching


async def pass_on(client: UpstreamClient, route: Blob) -> Response:
    """Answer with the whole blob, whatever range was asked for: that is allowed, and simple.

    Raises:
        UpstreamFault: it cannot be had.
    """
    wanted = Wanted(route.name.path, "blobs", str(route.digest))
    async with client.open("HEAD", wanted) as said:
        size = said.length
    is_empty = route.digest == Digest.of(b"", route.digest.algorithm)
    if size is None or (size == 0) is not is_empty:
        why = f"it does not say how large {route.digest} is"
        raise UpstreamBroken(str(client.upstream.origin), why)
    headers = (*named(route.digest), *INERT, OCTETS, ("Content-Length", str(size)))
    return Response(200, headers, flow=Passing(client, wanted, size, route.digest))


class Passing:
    """The bytes of a blob on their way through (`message.Flow`); the last waits for the digest.

    Nothing is open before the first is wanted: whoever asked may have left by then.
    """

    def __init__(self, client: UpstreamClient, wanted: Wanted, size: int, digest: Digest) -> None:
        self._client = client
        self._wanted = wanted
        self._size = size
        self._digest = digest

    async def iter_parts(self) -> AsyncGenerator[bytes, None]:
        """What comes.

        Raises:
            UpstreamFault: it broke off, or is another blob: the connection has to end.
        """
        hasher, held = hashlib.new(self._digest.algorithm), b""
        async with fetching(self._client, self._wanted, self._size) as coming:
            async for block in coming.iter_blocks():
                hasher.update(block)
                yield held + block[:-1]
                held = block[-1:]
        if hasher.hexdigest() != self._digest.hex:
            raise UpstreamBroken("", f"other bytes than {self._digest}")
        yield held

    def close(self) -> None:
        """`iter_parts` holds nothing beyond its end."""
