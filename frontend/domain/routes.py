"""The paths of `/v2/`: raw path in, route out, parsed from the right.

A name may contain `manifests`, `blobs`, `tags`, `uploads` and `referrers`, so the last components
decide. The path is matched as received: nothing is decoded, so `%2e%2e`, `%00` and `//` fail the
name's grammar. The colon of a digest alone may be written `%3A`, as some clients do.

    /v2/  /v2/token  /v2/_catalog  /v2/_oci/ext/discover  /v2/<name>/_oci/ext/discover
    /v2/<name>/blobs/<digest>            /v2/<name>/manifests/<reference>
    /v2/<name>/blobs/uploads[/]          /v2/<name>/tags/list
    /v2/<name>/blobs/uploads/<session>   /v2/<name>/referrers/<digest>
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Final

from cas.digest import Digest
from frontend.domain.faults import MethodNotAllowed, RouteUnknown
from frontend.domain.names import parse_name, parse_reference
from index.changes import ImageName

_READ: Final = ("GET", "HEAD")
_ENCODED_COLON: Final = re.compile(r"([a-z0-9+._-]+)%3[aA](?=[^:%]*\Z)")


@dataclass(frozen=True, slots=True)
class Base:
    """`/v2/`, and `/v2`: is this a registry, and who am I?"""

    methods: ClassVar[tuple[str, ...]] = _READ


@dataclass(frozen=True, slots=True)
class Token:
    """The Docker token endpoint."""

    methods: ClassVar[tuple[str, ...]] = (*_READ, "POST")


@dataclass(frozen=True, slots=True)
class Catalog:
    """All images that the caller may pull."""

    methods: ClassVar[tuple[str, ...]] = _READ


@dataclass(frozen=True, slots=True)
class Discover:
    """The extensions of the registry, or of one image."""

    methods: ClassVar[tuple[str, ...]] = _READ
    name: ImageName | None = None


@dataclass(frozen=True, slots=True)
class Blob:
    """One blob of an image."""

    methods: ClassVar[tuple[str, ...]] = (*_READ, "DELETE")
    name: ImageName
    digest: Digest


@dataclass(frozen=True, slots=True)
class BlobUploads:
    """Where uploads begin, with or without a slash at the end."""

    methods: ClassVar[tuple[str, ...]] = ("POST",)
    name: ImageName


@dataclass(frozen=True, slots=True)
class BlobUpload:
    """One upload session; its id is unchecked text."""

    methods: ClassVar[tuple[str, ...]] = (*_READ, "PATCH", "PUT", "DELETE")
    name: ImageName
    id: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One manifest of an image, by tag or digest."""

    methods: ClassVar[tuple[str, ...]] = (*_READ, "PUT", "DELETE")
    name: ImageName
    reference: Digest | str


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of an image."""

    methods: ClassVar[tuple[str, ...]] = _READ
    name: ImageName


@dataclass(frozen=True, slots=True)
class Referrers:
    """The manifests of an image whose subject is `digest`."""

    methods: ClassVar[tuple[str, ...]] = _READ
    name: ImageName
    digest: Digest


Route = (
    Base
    | Token
    | Catalog
    | Discover
    | Blob
    | BlobUploads
    | BlobUpload
    | Manifest
    | Tags
    | Referrers
)

ROUTES: Final[tuple[type[Route], ...]] = (
    Base, Token, Catalog, Discover, Blob, BlobUploads, BlobUpload, Manifest, Tags, Referrers,
)  # fmt: skip
_FIXED: Final[dict[str, Route]] = {
    "/v2": Base(),
    "/v2/": Base(),
    "/v2/token": Token(),
    "/v2/_catalog": Catalog(),
    "/v2/_oci/ext/discover": Discover(),
}


def match(path: str) -> Route:
    """Find what a raw path means.

    Raises:
        RouteUnknown: no route of the API ends like this.
        NameInvalid, NameUnknown, TagInvalid, DigestInvalid: what a part of the path is instead.
    """
    fixed = _FIXED.get(path)
    if fixed is not None:
        return fixed
    if not path.startswith("/v2/"):
        raise RouteUnknown(path)
    head, *tail = path.removeprefix("/v2/").rsplit("/", 2)
    route = _match_tail(head, *tail) if len(tail) == 2 else None
    if route is None:
        raise RouteUnknown(path)
    return route


def require_method(route: Route, method: str) -> None:
    """Refuse a method that the route does not have.

    Raises:
        MethodNotAllowed: with those that it has.
    """
    if method not in route.methods:
        raise MethodNotAllowed(method, route.methods)


def _match_tail(head: str, verb: str, last: str) -> Route | None:
    """The route of `<head>/<verb>/<last>`, or None."""
    match verb, last:
        case "manifests", _ if last:
            return Manifest(parse_name(head), parse_reference(_with_colon(last)))
        case "tags", "list":
            return Tags(parse_name(head))
        case "referrers", _ if last:
            return Referrers(parse_name(head), Digest.parse(_with_colon(last)))
        case "ext", "discover" if head.endswith("/_oci"):
            return Discover(parse_name(head.removesuffix("/_oci")))
        case (("blobs" | "uploads"), _):
            return _match_blobs(head, verb, last)
        case _:
            return None


def _match_blobs(head: str, verb: str, last: str) -> Route | None:
    if verb == "uploads":
        if not head.endswith("/blobs"):
            return None
        name = parse_name(head.removesuffix("/blobs"))
        return BlobUpload(name, last) if last else BlobUploads(name)
    if last == "uploads":
        return BlobUploads(parse_name(head))
    return Blob(parse_name(head), Digest.parse(_with_colon(last))) if last else None


def _with_colon(text: str) -> str:
    """Write the one `%3A` of a digest as the colon it stands for."""
    return _ENCODED_COLON.sub(r"\1:", text, count=1)
