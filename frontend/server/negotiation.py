"""What a new connection speaks: agreed in the TLS handshake, or said by its first bytes.

Only connections that have a choice come here: under TLS, and in clear text when h2 is turned on.
"""

import math
from typing import Final

import trio

from frontend.server.tls import TlsWire
from frontend.server.wire import Wire
from frontend.settings import Http

# Source: RFC 9113, 3.4. A client that knows that we speak h2 begins with it; there is no other way
# in clear text: `Upgrade: h2c` is gone from the standard, and a way around proxies.
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


async def agree(wire: Wire, limits: Http, *, is_h2_spoken: bool) -> tuple[bool, bytes]:
    """Whether the client speaks h2, and the bytes it has sent so far. Sets and clears `deadline`.

    Raises:
        Gone: the TLS handshake failed.
    """
    if isinstance(wire, TlsWire):
        wire.deadline = trio.current_time() + limits.header_seconds
        await wire.handshake()
        wire.deadline = math.inf
        return wire.protocol == "h2", b""
    return await _first_bytes(wire, limits) if is_h2_spoken else (False, b"")


async def _first_bytes(wire: Wire, limits: Http) -> tuple[bool, bytes]:
    data = b""
    wire.deadline = trio.current_time() + limits.idle_seconds
    while len(data) < len(PREFACE) and PREFACE.startswith(data):
        more = await wire.read(len(PREFACE) - len(data))
        if not more:
            break
        if not data:
            wire.deadline = trio.current_time() + limits.header_seconds
        data += more
    wire.deadline = math.inf
    return data == PREFACE, data
