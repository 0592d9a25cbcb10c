"""From a host's name to a connection: resolved once, every address checked, a checked one dialled.

So nothing can say one address when it is looked at and another one when it is used.
"""

import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Final

import trio

from frontend.domain.networks import Address, Allowance
from frontend.upstream.errors import AddressRefused, UpstreamUnavailable

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

MAX_DIALLED: Final = 8  # addresses of a host that are tried
STAGGER: Final = 0.25  # seconds before the next one is tried beside it (RFC 8305, 5)
LOOKUPS: Final = 4  # threads that look names up, of one upstream


class SystemResolver:
    """Names as the system knows them, for one upstream.

    The system's resolver blocks a thread for as long as it likes, and who gives up leaves that
    behind. With threads of its own, an upstream that leads to dead names holds up itself alone.
    """

    def __init__(self) -> None:
        self._threads = trio.CapacityLimiter(LOOKUPS)

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """Ask the system.

        Raises:
            OSError: it knows no address.
        """
        found = await trio.to_thread.run_sync(
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
            abandon_on_cancel=True,
            limiter=self._threads,
        )
        # Without the zone of a link-local address, which is never dialled.
        texts = [str(entry[4][0]).partition("%")[0] for entry in found]
        return [ip_address(text) for text in dict.fromkeys(texts)]


async def dial(
    host: str, port: int, allowance: Allowance, upstream: str, resolve: Resolve
) -> trio.socket.SocketType:
    """Connect to `host`; the caller limits the time.

    Raises:
        AddressRefused: one of its addresses must not be dialled: then none of them is.
        UpstreamUnavailable: no address, or no connection to any.
    """
    try:
        addresses = [ip_address(host)]
    except ValueError:
        addresses = list(await _resolved(host, port, upstream, resolve))
    for address in addresses:
        if allowance.refuses(host, address):
            where = host if str(address) == host else f"{host} ({address})"
            raise AddressRefused(upstream, f"{where} must not be asked: see proxy.allow")
    found, errors = await _connect_first(addresses[:MAX_DIALLED], port)
    if found is None:
        texts = [os.strerror(error.errno) if error.errno else str(error) for error in errors]
        reasons = ", ".join(dict.fromkeys(texts))
        raise UpstreamUnavailable(upstream, f"no connection to {host}:{port}: {reasons}")
    return found


async def _resolved(host: str, port: int, upstream: str, resolve: Resolve) -> Sequence[Address]:
    try:
        addresses = await resolve(host, port)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that its codec does not like
        raise UpstreamUnavailable(upstream, f"no address of {host}: {error}") from None
    if not addresses:
        raise UpstreamUnavailable(upstream, f"no address of {host}")
    return addresses


async def _connect_first(
    addresses: Sequence[Address], port: int
) -> tuple[trio.socket.SocketType | None, list[OSError]]:
    """The first that answers. Each begins when the one before has failed, or is slow."""
    winners: list[trio.socket.SocketType] = []
    errors: list[OSError] = []

    async def attempt(address: Address, failed: trio.Event) -> None:
        try:
            connected = await _connect(address, port)
        except OSError as error:
            errors.append(error)
            failed.set()
            return
        winners.append(connected)
        nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            for address in addresses:
                failed = trio.Event()
                nursery.start_soon(attempt, address, failed)
                with trio.move_on_after(STAGGER):
                    await failed.wait()
    except BaseException:
        _close_all(winners)
        raise
    _close_all(winners[1:])  # two may answer before either is told
    return (winners[0] if winners else None), errors


async def _connect(address: Address, port: int) -> trio.socket.SocketType:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    made = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await made.connect((str(address), port))
    except BaseException:
        made.close()
        raise
    return made


def _close_all(sockets: list[trio.socket.SocketType]) -> None:
    for each in sockets:
        each.close()
