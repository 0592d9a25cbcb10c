"""Who is at the other end, when proxies stand between: pure, and of hostile text.

Fields that proxies add are believed only when a proxy of ours hands them on, and only one way of
saying it is: whoever sends another adds it for us to read. In a list of hops the last ones are
ours; the first that is not, from the right, is the client.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal

LOCAL: Final = "local"  # who comes through a Unix socket has no address
Says = Literal["x-forwarded-for", "forwarded", "x-real-ip"]  # the field that our proxies set

_MAX_HOPS: Final = 16  # that are looked at; the rest is a stranger's
_MAX_HOP: Final = 128  # characters
# Source: RFC 7239, 4: quoted values may have any character; ours have none that needs a backslash.
_PAIR: Final = re.compile(r'\s*([A-Za-z]+)=(?:"([^"\\]*)"|([^\s",;]*))\s*')
# Source: RFC 3986, 3.2.2, without percent-encoding: it goes into a header and a realm.
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Peer:
    """The client: its address, and how it reached us where a proxy of ours says so (or empty)."""

    address: str
    scheme: str = ""
    host: str = ""


def parse_address(text: str) -> str:
    """The canonical text of an address: IPv4 where it is one, no zone, no port; empty if none."""
    text = text.strip()
    if len(text) > _MAX_HOP:
        return ""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)


def network_of(address: str) -> str:
    """What is counted as one client: an IPv6 network of 64 bits is one household's or machine's."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address  # LOCAL, or unknown
    if isinstance(parsed, IPv6Address):
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return address


class Proxies:
    """The networks that our proxies are in, and the field in which they say who asks."""

    def __init__(self, networks: Iterable[str], says: Says = "x-forwarded-for") -> None:
        """Each of `networks` is an address, a network, or LOCAL.

        Raises:
            ValueError: one of them is not.
        """
        texts = tuple(networks)
        self._says = says
        self._is_local = LOCAL in texts
        self.has = lru_cache(maxsize=1024)(self._has)  # whether an address is a proxy's
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(text) for text in texts if text != LOCAL
        )

    def __bool__(self) -> bool:
        return self._is_local or bool(self._networks)

    def told(self, headers: Mapping[str, str]) -> str:
        """What `headers` say of the client's address, should a proxy of ours send them; or ""."""
        if self._says == "forwarded":
            return self._of_forwarded("", headers.get("forwarded", "")).address
        return self._last_stranger("", headers.get(self._says, ""))

    def _has(self, address: str) -> bool:
        if address == LOCAL:
            return self._is_local
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def find(self, connected: str, headers: Mapping[str, str]) -> Peer:
        """The client of a request that `connected` (canonical, or LOCAL) sent; lower-case names."""
        if not self.has(connected):
            return Peer(connected)
        if self._says == "forwarded":
            return self._of_forwarded(connected, headers.get("forwarded", ""))
        scheme = _scheme(headers.get("x-forwarded-proto", "").rpartition(",")[2])
        host = _host(headers.get("x-forwarded-host", "").rpartition(",")[2])
        hops = headers.get(self._says, "")
        return Peer(self._last_stranger(connected, hops), scheme, host)

    def _last_stranger(self, nearest: str, hops: str) -> str:
        """The last hop that is no proxy of ours; what cannot be read ends the search."""
        for text in hops.rsplit(",", _MAX_HOPS)[: -_MAX_HOPS - 1 : -1]:
            address = parse_address(text)
            if not address:
                break
            nearest = address
            if not self.has(address):
                break
        return nearest

    def _of_forwarded(self, connected: str, text: str) -> Peer:
        elements = [dict(_pairs(each)) for each in text.rsplit(",", _MAX_HOPS)]
        hops = ",".join(each.get("for", "?") for each in elements[-_MAX_HOPS:]) if text else ""
        last = elements[-1]
        address = self._last_stranger(connected, hops)
        return Peer(address, _scheme(last.get("proto", "")), _host(last.get("host", "")))


def _pairs(element: str) -> Iterable[tuple[str, str]]:
    """The parameters of one element of Forwarded; a part that is none is left out."""
    for part in element.split(";"):
        match = _PAIR.fullmatch(part)
        if match is not None:
            yield match[1].lower(), match[2] or match[3] or ""


def _scheme(text: str) -> str:
    scheme = text.strip().lower()
    return scheme if scheme in ("http", "https") else ""


def _host(text: str) -> str:
    host = text.strip()
    return host.lower() if _HOST.fullmatch(host) else ""
