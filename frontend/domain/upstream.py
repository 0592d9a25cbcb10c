"""Another registry, as it is configured, and what our images are called there."""

import re
from dataclasses import dataclass
from typing import Final, Literal, Self
from urllib.parse import quote

from frontend.domain.names import MAX_NAME, is_component
from frontend.domain.outbound import Credentials
from frontend.domain.urls import Origin, Url, UrlInvalid

Kind = Literal["manifests", "blobs", "tags", "referrers"]

_HUB: Final = Origin("https", "registry-1.docker.io", 443)
# Source: distribution/reference, "familiar names": all of these mean Docker Hub to clients.
_HUB_HOSTS: Final = ("docker.io", "index.docker.io", "registry-1.docker.io", "registry.docker.io",
                     "registry.hub.docker.com", "hub.docker.com", "www.docker.com")  # fmt: skip
_HUB_REALM: Final = "auth.docker.io"  # where Docker Hub has its tokens, since 2014
_REFERENCE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:+=-]{0,255}")  # a tag or digest of ours


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
