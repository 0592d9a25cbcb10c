"""Bytes of blobs that the application may have put on the socket, unseen by this process.

Offered on a plain HTTP/1.1 connection, beside ASGI's `send`, which would copy them twice.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from frontend.domain.message import Slice

EXTENSION: Final = "orlop.outlet"  # in scope["extensions"], when it is offered

# Sends a part of an answer's body that has begun and has a length; returns when all of it is sent,
# or nobody takes it any more.
Outlet = Callable[[Slice], Awaitable[None]]


def outlet_of(scope: Mapping[str, Any]) -> Outlet | None:
    """What the server offers with a request, if it does."""
    found: Outlet | None = scope.get("extensions", {}).get(EXTENSION)
    return found
