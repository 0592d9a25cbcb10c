"""Which addresses may be dialled because another server says so: pure, on checked addresses.

An address that carries an IPv4 one (mapped, NAT64, 6to4, Teredo…) is as near as the nearer of them.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, Self

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?")


class Reach(IntEnum):
    """How near an address is."""

    PUBLIC = 0
    INNER = 1  # this machine, or a network that is not everybody's
    NEVER = 2  # the machine's own cloud, this link, or no address of one server


# What a cloud's machines ask about themselves, credentials included; and what is no host's address.
_NEVER: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16", "fe80::/10",  # link-local; metadata of most clouds
        "fd00:ec2::/32", "fd20:ce::/32",  # metadata: AWS, Google
        "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",  # Alibaba, Azure, Oracle
        "0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "ff00::/8",
    )
)  # fmt: skip
# Beside what `is_global` says no to: the translation of inner networks, and site-local addresses.
_INNER: Final[tuple[Network, ...]] = tuple(
    ip_network(text) for text in ("64:ff9b:1::/48", "fec0::/10", "100.64.0.0/10", "::/96")
)
_NAT64: Final = ip_network("64:ff9b::/96")  # RFC 6052
_LAST_32: Final[tuple[Network, ...]] = (
    ip_network("::ffff:0:0/96"), ip_network("::ffff:0:0:0/96"), ip_network("::/96"), _NAT64,
    ip_network("64:ff9b:1::/48"),
)  # fmt: skip
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214, 6.1


def reach_of(address: Address) -> Reach:
    """How near `address` is, with all that it carries."""
    carried = max((reach_of(inner) for inner in _iter_carried(address)), default=Reach.PUBLIC)
    if any(address in network for network in _NEVER):
        return Reach.NEVER
    # An IPv4 address in IPv6 clothes is what it carries: the clothes are special, not global.
    is_clothed = address in _NAT64 or (isinstance(address, IPv6Address) and address.ipv4_mapped)
    is_inner = any(address in network for network in _INNER)
    if is_inner or not (is_clothed or address.is_global):
        return max(Reach.INNER, carried)
    return carried


def _iter_carried(address: Address) -> Iterator[IPv4Address]:
    """IPv4 addresses that packets to `address` may end at."""
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    last = IPv4Address(number & 0xFFFF_FFFF)
    if any(address in network for network in _LAST_32) and number > 1:  # ::1 is no 0.0.0.1
        yield last
    if (number >> 32) & 0xFFFF_FFFF in _ISATAP:
        yield last
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be dialled: `own` hosts are configured upstreams; the rest is `proxy.allow`."""

    own: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, allow: Iterable[str], own: Iterable[str] = ()) -> Self:
        """Each of `allow` is an address, a network or a host name.

        Raises:
            ValueError: one of them is none of these.
        """
        hosts, networks = set(), []
        for text in allow:
            try:
                networks.append(ip_network(text.strip("[]")))
            except ValueError:
                if "/" in text or _HOST.fullmatch(text.lower()) is None:
                    raise ValueError(f"neither a host nor a network: {text[:100]!r}") from None
                hosts.add(text.lower())
        return cls(frozenset(own), frozenset(hosts), tuple(networks))

    def refuses(self, host: str, address: Address) -> bool:
        """Whether `host` must not be reached at `address`."""
        reach = reach_of(address)
        if reach is Reach.INNER:
            is_named = host in self.own or host in self.hosts
            return not is_named and not any(address in network for network in self.networks)
        return reach is Reach.NEVER

    def refuses_text(self, host: str) -> bool:
        """The same of a host that somebody else looks up: only written addresses are refused."""
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return self.refuses(host, address)

    def trusts(self, host: str) -> bool:
        """Whether `host`, as it was written, is allowed by name or by its literal address."""
        try:
            address = ip_address(host)
        except ValueError:
            return host in self.hosts
        return host in self.hosts or any(address in network for network in self.networks)
