"""The client of a request, by what its connection and its fields say."""

from collections.abc import Mapping
from typing import Any

from frontend.domain.peer import LOCAL, Peer, Proxies, parse_address


def address_of(client: tuple[str, int] | None) -> str:
    """The canonical address of a connection's other end."""
    return LOCAL if client is None else parse_address(client[0])


def client_of(scope: Mapping[str, Any], headers: Mapping[str, str], proxies: Proxies) -> Peer:
    """The client of a request that came as an ASGI scope; lower-case names."""
    return proxies.find(address_of(scope.get("client")), headers)
