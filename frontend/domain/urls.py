r"""URLs that another server names, read strictly: what cannot be misread is all that is taken.

Libraries differ in what they make of `http://good.example\@evil.example/`; here it is no URL.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, Self
from urllib.parse import quote

MAX_URL: Final = 8192  # characters; signed addresses of content networks have about 1,000
_PORTS: Final = {"http": 80, "https": 443}
# Source: RFC 3986, 3. What stands before the path has neither `@` (userinfo) nor `%`.
_ABSOLUTE: Final = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?(?=[/?#]|\Z)(.*)",
    re.IGNORECASE | re.DOTALL,
)
# Visible ASCII, but for what some programs take for a slash or for the end of a URL.
_TARGET: Final = re.compile(r"[!$-;=?-\[\]^_a-z{|}~]*")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


class UrlInvalid(ValueError):
    """The text is no URL that we would follow; its text says why, without repeating it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port. The host is lower-case and ASCII, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port, as the Host field has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class Url:
    """An origin, and the path and query that are asked of it, from the first slash on."""

    origin: Origin
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an absolute http or https URL; a fragment is dropped.

        Raises:
            UrlInvalid: it is none, has a user in it, or could be read in two ways.
        """
        match = _ABSOLUTE.match(text) if len(text) <= MAX_URL else None
        if match is None:
            raise UrlInvalid("not an http or https URL of host, port and path alone")
        scheme, host, port, rest = match.groups()
        number = _PORTS[scheme.lower()] if port is None else int(port)
        if not 0 < number < 65536:
            raise UrlInvalid("a port that cannot be")
        return cls(Origin(scheme.lower(), _host(host.lower()), number), _target(rest))

    def join(self, reference: str) -> "Url":
        """The URL that a Location or Link means, coming from this one.

        Raises:
            UrlInvalid: as `parse`.
        """
        text = reference.strip(" \t")
        if text.startswith("//"):
            return Url.parse(f"{self.origin.scheme}:{text}")
        if text.startswith("/"):
            return Url(self.origin, _target(text))
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text):
            return Url.parse(text)
        path = self.target.partition("?")[0]
        beginning = path if text[:1] in ("", "?", "#") else path.rpartition("/")[0] + "/"
        return Url(self.origin, _target(beginning + text))

    def with_query(self, *pairs: tuple[str, str]) -> "Url":
        """This URL with more in its query."""
        more = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
        mark = "&" if "?" in self.target else "?"
        return Url(self.origin, f"{self.target}{mark}{more}" if more else self.target)

    @property
    def shown(self) -> str:
        """For logs: without the query, which may be a signature."""
        return f"{self.origin}{self.target.partition('?')[0]}"

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


def _host(text: str) -> str:
    """The canonical host. A number that programs would read as an address is none."""
    if text.startswith("["):
        try:
            return str(IPv6Address(text[1:-1]))
        except AddressValueError:
            raise UrlInvalid("not an IPv6 address") from None
    labels = text.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(text))
        except AddressValueError:
            raise UrlInvalid("not an IPv4 address in its usual form") from None
    if not all(map(_LABEL.fullmatch, labels)):
        raise UrlInvalid("not a host name")
    return text


def _target(rest: str) -> str:
    target = rest.partition("#")[0]
    if len(target) > MAX_URL or _TARGET.fullmatch(target) is None:
        raise UrlInvalid("a path or query with characters that do not belong there")
    return target if target.startswith("/") else f"/{target}"
