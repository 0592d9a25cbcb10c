"""What we log in with elsewhere, and proxies on the way there, as they are configured."""

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote

from frontend.domain.urls import Url, UrlInvalid


@dataclass(frozen=True, slots=True)
class Credentials:
    """What we log in with. The user `<token>` means: the password is a refresh token."""

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be said in a Basic header (RFC 7617, 2): a colon in the user."""
        if ":" in self.user or not self.user:
            raise UrlInvalid("a user is not empty and has no colon")

    @property
    def basic(self) -> str:
        """The value of Authorization."""
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class OutboundProxy:
    """A proxy on our way out, from configuration; `basic` is its Proxy-Authorization, or empty."""

    url: Url
    basic: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read `http://[user:password@]host:port`, both percent-encoded; nothing is none.

        Raises:
            UrlInvalid: it is something else; without repeating what may be a password.
        """
        if not text:
            return None
        scheme, mark, rest = text.partition("://")
        login, at, host = rest.rpartition("@")
        url = Url.parse(f"{scheme}{mark}{host}")
        if url.target != "/":
            raise UrlInvalid("a proxy has no path")
        user, _, password = login.partition(":")
        return cls(url, Credentials(unquote(user), unquote(password)).basic if at else "")
