"""One request and its answer, with a limit on everything that may be waited for.

Connections are kept for the next request to the same origin. Nothing is taken from the environment:
neither proxies nor certificates nor passwords.
"""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from frontend.domain.fields import parse_length
from frontend.domain.networks import Allowance
from frontend.domain.outbound import OutboundProxy
from frontend.domain.urls import Origin, Url
from frontend.upstream.addresses import Resolve, SystemResolver, dial
from frontend.upstream.connection import Connection, ConnectionBroken, Fields, Head, Take
from frontend.upstream.errors import AddressRefused, UpstreamBroken, UpstreamUnavailable
from frontend.upstream.trust import Trust
from frontend.upstream.wire import WIDE, Plain, Tls, Wire

RATE_AFTER: Final = 10.0  # seconds of waiting before the minimum rate counts
MAX_DRAINED: Final = 64 << 10  # bytes of an answer that are read to keep the connection
MAX_IDLE: Final = 8  # connections kept: as many as one pull uses


@dataclass(frozen=True, slots=True)
class Patience:
    """How long may be waited for what, in seconds, and how slowly a body may come."""

    connect_seconds: float = 10.0  # looking the name up, connecting and TLS, each time
    head_seconds: float = 30.0  # from the request to the end of the answer's head
    stall_seconds: float = 30.0  # without a byte of a body
    idle_seconds: float = 30.0  # a connection is kept between requests
    min_rate: int = 1024  # bytes/s of a body, over the time that we waited for it


@dataclass(frozen=True, slots=True)
class Way:
    """How the world is reached: the same for all upstreams, from configuration alone."""

    trust: Trust = field(default_factory=Trust)
    allowance: Allowance = field(default_factory=Allowance)
    patience: Patience = field(default_factory=Patience)
    proxies: dict[str, OutboundProxy] = field(default_factory=dict)  # by the scheme asked for
    connections: int = 32  # to one upstream at once; more wait


class Reply:
    """An answer whose body is still to come."""

    def __init__(self, upstream: str, connection: Connection, head: Head, way: Way) -> None:
        self.status = head.status
        self.fields = head.fields
        self._upstream = upstream
        self._connection = connection
        self._patience = way.patience
        self._drained: bytes | None = None
        self._is_over = False
        self._waited = 0.0
        self._received = 0

    async def receive_into(self, view: memoryview) -> int:
        """Receive at least a byte of the body, at most `view`; 0 at its end.

        Raises:
            UpstreamBroken: it ended too early, stalled, or comes too slowly.
        """
        if self._is_over:
            return 0
        began = trio.current_time()
        stall = self._patience.stall_seconds
        try:
            with trio.fail_after(stall):
                count = await self._connection.receive_into(view)
        except trio.TooSlowError:
            raise UpstreamBroken(self._upstream, f"no byte for {stall:g} s") from None
        except ConnectionBroken as error:
            raise UpstreamBroken(self._upstream, str(error)) from None
        self._waited += trio.current_time() - began
        self._received += count
        self._is_over = count == 0
        rate = self._patience.min_rate
        if rate and self._waited > RATE_AFTER + self._received / rate:
            raise UpstreamBroken(self._upstream, f"less than {rate} bytes/s")
        return count

    async def move(self, take: Take) -> int | None:
        """Have some of the body taken from the socket itself; see `Connection.move`.

        Raises:
            Whatever `take` raises.
        """
        if self._is_over:
            return 0
        began = trio.current_time()
        count = await self._connection.move(take)
        self._waited += trio.current_time() - began
        self._received += count or 0
        return count

    def let_go(self) -> None:
        """Never touch the connection again: it may be another's."""
        self._is_over = True

    async def drain(self) -> bytes:
        """Read a short body, so that the connection can be used again; of a long one, nothing.

        Once is enough: later calls return the same.
        """
        length = parse_length(self.fields.get("content-length")) or 0
        if self._drained is None and length <= MAX_DRAINED:
            with suppress(UpstreamBroken):
                self._drained = await read_short(self, MAX_DRAINED, self._upstream)
        return self._drained or b""


class Source(Protocol):
    """A body, as it comes."""

    async def receive_into(self, view: memoryview) -> int:
        """Receive at least a byte, at most `view`; 0 at the end."""


async def read_short(source: Source, limit: int, upstream: str) -> bytes:
    """All of a body that is to be short.

    Raises:
        UpstreamBroken: more than `limit` bytes come; or as `source` says.
    """
    content = bytearray()
    view = memoryview(bytearray(min(limit + 1, WIDE)))
    while count := await source.receive_into(view):
        content += view[:count]
        if len(content) > limit:
            raise UpstreamBroken(upstream, f"more than {limit} bytes")
    return bytes(content)


class Transport:
    """The connections to one upstream, and to where it leads."""

    def __init__(self, upstream: Origin, way: Way, resolve: Resolve | None = None) -> None:
        """`upstream` may lie in inner networks; other hosts only where `way` allows it."""
        allowed = way.allowance
        self._label = str(upstream)
        self._way = way
        self._allowance = Allowance(frozenset({upstream.host}), allowed.hosts, allowed.networks)
        self._resolve = resolve or SystemResolver()
        self._idle: deque[tuple[Origin, Connection, float]] = deque()  # the oldest first
        self._places = trio.Semaphore(way.connections)

    @asynccontextmanager
    async def exchange(
        self, method: str, url: Url, fields: Fields, content: bytes = b""
    ) -> AsyncIterator[Reply]:
        """Send a request; yields the answer. Leaving early closes the connection.

        Raises:
            UpstreamUnavailable, UpstreamBroken, AddressRefused: there is no answer.
        """
        async with self._places:
            connection, head = await self._answered(method, url, fields, content)
            reply = Reply(self._label, connection, head, self._way)
            try:
                yield reply
            finally:
                reply.let_go()
                await self._put_back(url.origin, connection)

    async def aclose(self) -> None:
        """Close what is idle. What is in use is closed by whoever uses it."""
        while self._idle:
            await self._idle.pop()[1].aclose()

    async def _answered(
        self, method: str, url: Url, fields: Fields, content: bytes
    ) -> tuple[Connection, Head]:
        """Ask on an idle connection; if that was closed meanwhile, on a new one."""
        await self._close_old()
        kept = self._take(url.origin)
        if kept is not None:
            try:
                return kept, await self._ask(kept, method, url, fields, content)
            except ConnectionBroken as error:
                if not error.is_unanswered:
                    raise UpstreamBroken(self._label, str(error)) from None
        made = await self._connect(url.origin)
        try:
            return made, await self._ask(made, method, url, fields, content)
        except ConnectionBroken as error:
            kind = UpstreamUnavailable if error.is_unanswered else UpstreamBroken
            raise kind(self._label, str(error)) from None

    async def _ask(
        self, connection: Connection, method: str, url: Url, fields: Fields, content: bytes
    ) -> Head:
        own: list[tuple[str, str]] = [("Host", url.origin.authority), *fields]
        if content:
            own.append(("Content-Length", str(len(content))))
        target = url.target
        if url.origin.scheme == "http" and "http" in self._way.proxies:
            target = str(url)  # RFC 9112, 3.2.2: a proxy is asked for all of it
            own += self._proxy_fields("http")
        seconds = self._way.patience.head_seconds
        try:
            with trio.fail_after(seconds):
                return await connection.ask(method, target, own, content)
        except trio.TooSlowError:
            await connection.aclose()
            raise UpstreamUnavailable(self._label, f"no answer within {seconds:g} s") from None
        except BaseException:
            await connection.aclose()
            raise

    async def _connect(self, origin: Origin) -> Connection:
        seconds = self._way.patience.connect_seconds
        try:
            with trio.fail_after(seconds):
                return Connection(await self._wire(origin))
        except trio.TooSlowError:
            why = f"no connection to {origin.authority} within {seconds:g} s"
            raise UpstreamUnavailable(self._label, why) from None

    async def _wire(self, origin: Origin) -> Wire:
        """A wire to `origin`; through a proxy, where one is configured for its scheme."""
        proxy = self._way.proxies.get(origin.scheme)
        if proxy is None:
            found = await dial(
                origin.host, origin.port, self._allowance, self._label, self._resolve
            )
            wire: Wire = Plain(found)
        else:
            self._check_name(origin)
            at = proxy.url.origin
            near = Allowance(frozenset({at.host}))
            wire = Plain(await dial(at.host, at.port, near, self._label, self._resolve))
        try:
            if proxy is not None and proxy.url.origin.scheme == "https":
                wire = await self._secured(wire, proxy.url.origin.host)
            if proxy is not None and origin.scheme == "https":
                await self._open_tunnel(wire, origin)
            return await self._secured(wire, origin.host) if origin.scheme == "https" else wire
        except BaseException:
            await wire.aclose()
            raise

    def _check_name(self, origin: Origin) -> None:
        """A proxy looks names up itself: of addresses we see only those that are written out."""
        if self._allowance.refuses_text(origin.host):
            raise AddressRefused(self._label, f"{origin.host} must not be asked: see proxy.allow")

    async def _secured(self, wire: Wire, host: str) -> Wire:
        secured = Tls(wire, await self._way.trust.context(), host)
        try:
            await secured.shake_hands()
        except (OSError, trio.BrokenResourceError) as error:
            cause = error.__cause__ or error
            why = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or str(cause)
            raise UpstreamUnavailable(self._label, f"no TLS with {host}: {why}") from None
        return secured

    async def _open_tunnel(self, wire: Wire, origin: Origin) -> None:
        """Have the proxy connect to `origin` (RFC 9110, 9.3.6)."""
        authority = f"{origin.authority}:443" if origin.port == 443 else origin.authority
        asked = Connection(wire)
        fields = [("Host", authority), *self._proxy_fields("https")]
        try:
            head = await asked.ask("CONNECT", authority, fields)
        except ConnectionBroken as error:
            raise UpstreamUnavailable(self._label, f"the proxy: {error}") from None
        if not 200 <= head.status < 300:
            raise UpstreamUnavailable(self._label, f"the proxy answered {head.status}")

    def _proxy_fields(self, scheme: str) -> Fields:
        proxy = self._way.proxies.get(scheme)
        return [("Proxy-Authorization", proxy.basic)] if proxy and proxy.basic else []

    def _take(self, origin: Origin) -> Connection | None:
        """The youngest idle connection to `origin` that has not been closed."""
        for entry in reversed(self._idle):
            if entry[0] == origin:
                self._idle.remove(entry)
                return entry[1]
        return None

    async def _close_old(self) -> None:
        now = trio.current_time()
        old = [each for each in self._idle if each[2] <= now or each[1].wire.is_readable()]
        for entry in old:
            self._idle.remove(entry)
        for _, connection, _ in old:
            await connection.aclose()

    async def _put_back(self, origin: Origin, connection: Connection) -> None:
        if not connection.is_reusable or len(self._idle) >= MAX_IDLE:
            await connection.aclose()
            return
        until = trio.current_time() + self._way.patience.idle_seconds
        self._idle.append((origin, connection, until))
