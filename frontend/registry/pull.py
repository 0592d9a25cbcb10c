"""Pull: a manifest by tag or digest, a blob whole or in ranges.

The link in the image is the only authority: a digest that another image holds is unknown here.
What is known to be damaged is answered as unknown, to HEAD too: a client that has it pushes it
again only then, and that mends it.
"""

from http import HTTPStatus
from itertools import islice
from typing import Final

from cas.digest import Digest
from cas.verbs import View
from frontend.domain.conditions import etag, is_not_modified, is_range_current
from frontend.domain.faults import (
    ImageBlobDamaged,
    ImageBlobUnknown,
    ImageUnknown,
    ManifestDamaged,
    ManifestUnknown,
)
from frontend.domain.message import Extend, Request, Response, Slice
from frontend.domain.ranges import Span, multipart, parse_ranges
from frontend.errors import API_VERSION
from frontend.registry.replies import INERT
from frontend.registry.site import Site
from index.changes import EdgeKind, ImageName
from index.damage import has_hurt, is_hurt, iter_hurt
from index.records import Link, Object

Headers = tuple[tuple[str, str], ...]

_FOREVER: Final = ("Cache-Control", "max-age=31536000, immutable")  # a digest's bytes never change
_REVALIDATE: Final = ("Cache-Control", "no-cache")  # a tag may move at any moment
_FEW: Final = 100  # objects that are hurt
_CHILD: Final = EdgeKind.CHILD
_OCTETS: Final = "application/octet-stream"


def respond_manifest(
    name: ImageName, reference: Digest | str, request: Request, view: View, site: Site
) -> Response:
    """Answer with a manifest whose own config and layers can be had, too.

    Raises:
        ImageUnknown, ManifestUnknown, ManifestDamaged
    """
    if view.entries("damage") and _lacks_blob(name, reference, view):
        raise ManifestDamaged(name, str(reference))
    return respond_manifest_alone(name, reference, request, view, site)


def respond_manifest_alone(
    name: ImageName, reference: Digest | str, request: Request, view: View, site: Site
) -> Response:
    """Answer with a manifest, byte for byte and under the type it was pushed with.

    Raises:
        ImageUnknown, ManifestUnknown, ManifestDamaged
    """
    image = view.image(name)
    if image is None:
        raise ImageUnknown(name)
    digest = _resolve(image.id, reference, view)
    link = None if digest is None else view.link(image.id, digest.key)
    row = None if digest is None else view.manifest(image.id, digest.key)
    found = None if digest is None else view.object(digest.key)
    if digest is None or link is None or row is None or found is None:
        raise ManifestUnknown(name, str(reference))
    if is_hurt(view, found):
        raise ManifestDamaged(name, str(reference))
    is_tag = isinstance(reference, str)
    named = _named(digest, _REVALIDATE if is_tag else _FOREVER)
    if is_not_modified(request.headers.get("if-none-match"), digest):
        return Response(HTTPStatus.NOT_MODIFIED, named)
    headers = (*named, ("Content-Type", row.media_type), ("Content-Length", str(found.size)))
    if request.method == "HEAD":
        return _head(name, digest, (*headers, *INERT), link, site)
    body = _whole(digest, found, view)
    return Response(200, (*headers, *INERT), body, pulled=f"{name}@{digest}")


def respond_blob(
    name: ImageName, digest: Digest, request: Request, view: View, site: Site
) -> Response:
    """Answer with a blob, or the ranges of it that were asked for. HEAD opens nothing.

    Raises:
        ImageUnknown, ImageBlobUnknown, ImageBlobDamaged, RangeNotSatisfiable
    """
    image = view.image(name)
    if image is None:
        raise ImageUnknown(name)
    link = view.link(image.id, digest.key)
    found = None if link is None else view.object(digest.key)
    if link is None or found is None:
        raise ImageBlobUnknown(name, digest)
    if is_hurt(view, found):
        raise ImageBlobDamaged(name, digest)
    headers = (*_named(digest, _FOREVER), ("Accept-Ranges", "bytes"))
    if is_not_modified(request.headers.get("if-none-match"), digest):
        return Response(HTTPStatus.NOT_MODIFIED, headers)
    headers = (*headers, *INERT)
    whole = (("Content-Type", _OCTETS), ("Content-Length", str(found.size)))
    if request.method == "HEAD":  # RFC 9110, 14.2: Range counts for GET only
        return _head(name, digest, (*headers, *whole), link, site)
    is_current = is_range_current(request.headers.get("if-range"), digest)
    spans = parse_ranges(request.headers.get("range"), found.size) if is_current else None
    if spans is None:
        return Response(200, (*headers, *whole), _whole(digest, found, view))
    return _partial(digest, found, spans, headers, view)


def _lacks_blob(name: ImageName, reference: Digest | str, view: View) -> bool:
    image = view.image(name)
    digest = None if image is None else _resolve(image.id, reference, view)
    if image is None or digest is None:
        return False
    return has_hurt_blob(view, image.id, digest)


def has_hurt_blob(view: View, image: bytes, digest: Digest) -> bool:
    """Whether a manifest's own config or layers are damaged: some clients ask for it alone.

    An index is not hurt by its manifests: the other platforms can be pulled.
    """
    few = list(islice(iter_hurt(view), _FEW + 1)) if view.entries("damage") else []
    if len(few) <= _FEW:  # almost always fewer than a manifest has children
        kinds = ((row.name, view.edge(image, digest.key, row.name)) for _, row in few)
        children = ((child, kind) for child, kind in kinds if kind is not None)
    else:
        children = ((child, kind) for child, kind in view.iter_children(image, digest.key))
    return any(kind != _CHILD and has_hurt(view, image, child) for child, kind in children)


def _resolve(image: bytes, reference: Digest | str, view: View) -> Digest | None:
    """The digest that a reference means in an image."""
    if isinstance(reference, Digest):
        return reference
    tag = view.tag(image, reference)
    return None if tag is None else Digest(tag.digest)


def _named(digest: Digest, caching: tuple[str, str]) -> Headers:
    """The headers of whatever has a digest; a 304 carries them too."""
    return (
        API_VERSION,
        ("Docker-Content-Digest", str(digest)),
        ("ETag", etag(digest)),
        caching,
    )


def _whole(digest: Digest, found: Object, view: View) -> tuple[bytes | Slice, ...]:
    """All bytes: from the index when they are there, otherwise of an open blob."""
    if found.size == 0:
        return ()
    content = view.inline(found.id)
    return (Slice(view.open(digest), 0, found.size) if content is None else content,)


def _partial(
    digest: Digest, found: Object, spans: tuple[Span, ...], headers: Headers, view: View
) -> Response:
    """One span as it is, several as multipart/byteranges (all slices of one open blob)."""
    if len(spans) == 1:
        span = spans[0]
        own: Headers = (
            ("Content-Type", _OCTETS),
            ("Content-Range", span.content_range(found.size)),
            ("Content-Length", str(span.stop - span.start)),
        )
        body = _slices(digest, found, spans, view)
        return Response(HTTPStatus.PARTIAL_CONTENT, (*headers, *own), body)
    parts = multipart(spans, found.size, digest)
    own = (("Content-Type", parts.content_type), ("Content-Length", str(parts.length)))
    slices = _slices(digest, found, spans, view)
    framed = [piece for pair in zip(parts.heads, slices, strict=True) for piece in pair]
    return Response(HTTPStatus.PARTIAL_CONTENT, (*headers, *own), (*framed, parts.end))


def _slices(
    digest: Digest, found: Object, spans: tuple[Span, ...], view: View
) -> tuple[bytes | Slice, ...]:
    content = view.inline(found.id)
    if content is not None:
        return tuple(content[span.start : span.stop] for span in spans)
    first, last = min(span.start for span in spans), max(span.stop for span in spans)
    blob = view.open(digest, first, last)
    return tuple(Slice(blob, span.start, span.stop) for span in spans)


def _head(name: ImageName, digest: Digest, headers: Headers, link: Link, site: Site) -> Response:
    """The answer to a HEAD, with the lease to renew because a client was told that this is here.

    Source: design, invariant 3. What is referred to needs no lease, unless a lease outlasts the
    grace that follows the last reference.
    """
    if link.references > 0 and site.grace_seconds >= site.lease_seconds:
        return Response(200, headers)
    is_due = link.lease - site.now() < site.lease_seconds / 2
    return Response(200, headers, extend=Extend(name, digest) if is_due else None, lasts=0.0)
