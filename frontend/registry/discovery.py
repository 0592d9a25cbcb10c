"""Discovery: tags, the catalog, referrers; each page costs what it holds."""

from typing import Final
from urllib.parse import quote

from cas.digest import Digest
from cas.verbs import View
from frontend.domain.faults import ImageUnknown, PaginationNumberInvalid
from frontend.domain.manifests import OCI_INDEX
from frontend.domain.message import Request, Response
from frontend.domain.paging import cut, first, next_link, parse_page, parse_query
from frontend.registry.catalog import iter_catalog
from frontend.registry.replies import json_response
from index.changes import ImageName

MAX_REFERRERS: Final = 4 << 20  # bytes of a page: what clients read of a manifest at most
_HEAD: Final = b'{"schemaVersion":2,"mediaType":"%s","manifests":[' % OCI_INDEX.encode()
_TAIL: Final = b"]}"
_MAX_CURSOR: Final = 2 * (8 + 65)  # hex digits: type hash and the longest D


def respond_tags(name: ImageName, request: Request, view: View) -> Response:
    """List an image's tags in byte order.

    Raises:
        ImageUnknown, PaginationNumberInvalid
    """
    page = parse_page(parse_query(request.query))
    image = view.image(name)
    if image is None:
        raise ImageUnknown(name)
    rows, has_more = cut(view.iter_tags(image.id, page.last), page.limit)
    tags = [tag for tag, _ in rows]
    parameters = {"n": str(page.limit), "last": tags[-1]} if has_more else None
    link = () if parameters is None else (next_link(f"/v2/{name}/tags/list", parameters),)
    return json_response(request, {"name": str(name), "tags": tags}, *link)


def respond_catalog(request: Request, view: View) -> Response:
    """List the images of all repositories that the caller may pull, in byte order.

    Raises:
        PaginationNumberInvalid
    """
    page = parse_page(parse_query(request.query))
    names, has_more = cut(iter_catalog(request.principal, view, page.last), page.limit)
    parameters = {"n": str(page.limit), "last": names[-1]} if has_more else None
    link = () if parameters is None else (next_link("/v2/_catalog", parameters),)
    return json_response(request, {"repositories": names}, *link)


def respond_referrers(name: ImageName, digest: Digest, request: Request, view: View) -> Response:
    """List the manifests of the image that refer to `digest`, as an index; empty if there are none.

    A page has at most MAX_REFERRERS bytes, but one descriptor at least: a larger one is alone.

    Raises:
        PaginationNumberInvalid: `last` is no cursor.
    """
    parameters = parse_query(request.query)
    wanted = first(parameters, "artifactType") or None
    after = _cursor(first(parameters, "last") or "")
    rows, cursor = _referrers(name, digest, wanted, after, view)
    headers = () if wanted is None else (("OCI-Filters-Applied", "artifactType"),)
    if cursor is not None:
        following = {} if wanted is None else {"artifactType": wanted}
        path = f"/v2/{name}/referrers/{quote(str(digest), safe=':')}"
        headers = (*headers, next_link(path, following | {"last": cursor.hex()}))
    body = _HEAD + b",".join(rows) + _TAIL
    return json_response(request, body, *headers, media_type=OCI_INDEX)


def _referrers(
    name: ImageName, digest: Digest, wanted: str | None, after: bytes, view: View
) -> tuple[list[bytes], bytes | None]:
    """Descriptors for one page; and the cursor of the last one when there are more."""
    image = view.image(name)
    rows: list[bytes] = []
    if image is None:
        return rows, None
    size = len(_HEAD) + len(_TAIL)
    last = after
    for cursor, descriptor in view.iter_referrers(image.id, digest.key, wanted, after):
        size += len(descriptor) + 1
        if rows and size > MAX_REFERRERS:
            return rows, last
        rows.append(descriptor)
        last = cursor
    return rows, None


def _cursor(text: str) -> bytes:
    """Read back what a Link carried."""
    if len(text) > _MAX_CURSOR:
        raise PaginationNumberInvalid("last", text)
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise PaginationNumberInvalid("last", text) from None
