"""Structs that hold a password, a token or a hash, and do not show it in a log or a trace."""


class Discreet:
    """Base of such structs, before their own: their repr names the type alone."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"
