"""Another registry, as it is configured, and what our images are called there."""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final, Literal, Self
from urllib.parse import quote, unquote

from frontend.domain.names import MAX_NAME, is_component
from frontend.domain.urls import Origin, Url, UrlInvalid

Kind = Literal["manifests", "blobs", "tags", "referrers"]

_HUB: Final = Origin("https", "registry-1.docker.io", 443)
# Source: distribution/reference, "familiar names": all of these mean Docker Hub to clients.
_HUB_HOSTS: Final = ("docker.io", "index.docker.io", "registry-1.docker.io", "registry.docker.io",
                     "registry.hub.docker.com", "hub.docker.com", "www.docker.com")  # fmt: skip
_HUB_REALM: Final = "auth.docker.io"  # where Docker Hub has its tokens, since 2014
_REFERENCE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:+=-]{0,255}")  # a tag or digest of ours


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
class Upstream:
    """Where a proxy repository gets its images: `prefix` goes before their names there."""

    origin: Origin
    prefix: str = ""
    credentials: Credentials | None = None

    @classmethod
    def parse(cls, url: str, credentials: Credentials | None = None) -> Self:
        """Read the configured URL: `https://host[:port][/v2][/prefix…]`.

        Raises:
            UrlInvalid: no such URL, or a prefix that cannot begin a name.
        """
        parsed = Url.parse(url)
        if "?" in parsed.target:
            raise UrlInvalid("an upstream has no query")
        parts = [part for part in parsed.target.split("/") if part]
        if parts[:1] == ["v2"]:
            parts = parts[1:]
        if not all(map(is_component, parts)):
            raise UrlInvalid("its path is not the beginning of image names")
        origin = _HUB if parsed.origin.host in _HUB_HOSTS else parsed.origin
        return cls(origin, "/".join(parts), credentials)

    @property
    def is_docker_hub(self) -> bool:
        """Whether short names mean `library/…`."""
        return self.origin == _HUB

    @property
    def realm_hosts(self) -> frozenset[str]:
        """Hosts whose token endpoints may see the credentials."""
        return frozenset({self.origin.host} | ({_HUB_REALM} if self.is_docker_hub else set()))

    def name_of(self, path: str) -> str:
        """What the image that is `path` in our repository is called upstream.

        It may be too long for any registry, and is then answered there like any missing one.
        """
        if self.prefix:
            return f"{self.prefix}/{path}"
        if self.is_docker_hub and "/" not in path:
            return f"library/{path}"
        return path

    def scope_of(self, path: str) -> str:
        """What a token must cover, whatever a challenge names: pulling this one image."""
        return f"repository:{self.name_of(path)}:pull"

    def url_of(self, path: str, kind: Kind, reference: str = "") -> Url:
        """Where something of an image is; of `tags` there is but the list.

        Raises:
            UrlInvalid: not of the grammar that names and references have here.
        """
        if len(path) > MAX_NAME or not all(map(is_component, path.split("/"))):
            raise UrlInvalid("not the name of an image")
        if kind == "tags":
            reference = "list"
        if _REFERENCE.fullmatch(reference) is None:
            raise UrlInvalid("neither a tag nor a digest")
        return Url(self.origin, f"/v2/{self.name_of(path)}/{kind}/{quote(reference, safe=':')}")

    def may_see_credentials(self, realm: Url, allowed: frozenset[str]) -> bool:
        """Whether a token endpoint may be asked, in the name of whoever is configured.

        Never in clear text what came to us under TLS.
        """
        is_downgrade = self.origin.scheme == "https" and realm.origin.scheme != "https"
        return not is_downgrade and realm.origin.host in (self.realm_hosts | allowed)


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
