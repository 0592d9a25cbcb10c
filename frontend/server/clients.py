"""Who is at the other end of a connection."""

from frontend.domain.peer import LOCAL, parse_address


def address_of(client: tuple[str, int] | None) -> str:
    """The canonical address of a connection's other end."""
    return LOCAL if client is None else parse_address(client[0])
