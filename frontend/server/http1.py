"""HTTP/1.1 as we take it: h11 under Hypercorn without what it leaves open (hardening §1.1, 1.6)."""

from typing import Any, Final

import h11
from hypercorn.events import Closed, Event
from hypercorn.protocol.h11 import H11Protocol

HEAD_LIMIT: Final = 32 << 10  # bytes of a request's line and headers
HEADER_COUNT: Final = 100

# What registries and their clients use; TRACE and CONNECT have no meaning here, PRI begins HTTP/2.
_METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))


class Refused(Exception):
    """A request that is answered by the connection, which then closes."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Parser(h11.Connection):
    """h11 with two things its own way.

    `100 Continue` is left to us: Hypercorn sends it before anybody looked at the head. And what
    follows the last request of a connection is dropped (RFC 9112, 9.6), where h11 finds an error
    that would be sent into the answer.
    """

    def receive_data(self, data: bytes) -> None:
        """Take bytes in; none after the last request."""
        if not self._is_last_read:
            super().receive_data(data)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """What the bytes mean; nothing after the last request."""
        return h11.NEED_DATA if self._is_last_read else super().next_event()

    @property
    def _is_last_read(self) -> bool:
        return self.their_state is h11.MUST_CLOSE

    @property
    def they_are_waiting_for_100_continue(self) -> bool:
        """What Hypercorn asks."""
        return False

    @property
    def is_body_awaited(self) -> bool:
        """Whether the client holds its body back until it is told that we want it."""
        is_waiting: bool = super().they_are_waiting_for_100_continue
        return is_waiting and self.our_state is h11.SEND_RESPONSE


class Http1(H11Protocol):
    """HTTP/1.1 and nothing else: no h2c, no WebSocket, no ambiguous framing."""

    connection: _Parser

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 - Hypercorn's own nine
        super().__init__(*arguments)
        self.connection = _Parser(h11.SERVER, self.config.h11_max_incomplete_size)

    async def send_continue(self) -> None:
        """Tell a client that waits for it to send its body."""
        if self.connection.is_body_awaited:
            headers = self.config.response_headers("h11")
            await self._send_h11_event(h11.InformationalResponse(status_code=100, headers=headers))

    async def handle(self, event: Event) -> None:
        """Feed bytes or the end of the connection."""
        try:
            await super().handle(event)
        except Refused as refused:
            await self.refuse(refused.status)

    async def refuse(self, status: int) -> None:
        """Answer `status` if nothing was answered yet, and close."""
        if self.connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._send_error_response(status)
        await self.send(Closed())

    @property
    def is_between_heads(self) -> bool:
        """No request is being answered, so what comes next is a head."""
        return self.stream is None and self.connection.their_state is h11.IDLE

    @property
    def has_partial_head(self) -> bool:
        """The first bytes of a head are here, its end is not."""
        return self.is_between_heads and bool(self.connection.trailing_data[0])

    async def _check_protocol(self, event: h11.Request) -> None:
        status = refusal(event)
        if status:
            raise Refused(status)

    async def _create_stream(self, request: h11.Request) -> None:
        # `Upgrade` is ignored, as RFC 9110, 7.8 allows: Hypercorn would open a WebSocket for it.
        kept = [(name, value) for name, value in request.headers if name != b"upgrade"]
        plain = h11.Request(
            method=request.method,
            target=request.target,
            headers=kept,
            http_version=request.http_version,
        )
        await super()._create_stream(plain)


def refusal(request: h11.Request) -> int:
    """The status that refuses a request h11 let through; 0 for a sound one."""
    names = [name for name, _ in request.headers]
    size = sum(len(name) + len(value) + 4 for name, value in request.headers)
    if len(names) > HEADER_COUNT or size + len(request.target) > HEAD_LIMIT:
        return 431
    if request.method not in _METHODS:
        return 501
    if not request.target.startswith(b"/") or request.http_version not in (b"1.0", b"1.1"):
        return 400
    # Source: RFC 9112, 6.1: both together are an attempt to smuggle a request.
    if b"transfer-encoding" in names and b"content-length" in names:
        return 400
    return 0
