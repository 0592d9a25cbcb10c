"""Discovery: tags, the catalog, referrers; each page costs what it holds."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Final, TypeVar
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
from index.keys import type_hash

T = TypeVar("T")
Row = tuple[bytes, bytes]  # a referrer: its cursor (see `View.iter_referrers`), its descriptor

MAX_REFERRERS: Final = 4 << 20  # bytes of a page: what clients read of a manifest at most
_HEAD: Final = b'{"schemaVersion":2,"mediaType":"%s","manifests":[' % OCI_INDEX.encode()
_TAIL: Final = b"]}"
_MAX_CURSOR: Final = 2 * (8 + 65)  # hex digits: type hash and the longest D


def respond_tags(
    name: ImageName, request: Request, view: View, more: Sequence[str] = ()
) -> Response:
    """List an image's tags in byte order, with those that a proxy repository's source lists.

    Raises:
        ImageUnknown, PaginationNumberInvalid
    """
    page = parse_page(parse_query(request.query))
    image = view.image(name)
    if image is None and not more:
        raise ImageUnknown(name)
    here = () if image is None else (tag for tag, _ in view.iter_tags(image.id, page.last))
    there = islice(more, bisect_right(more, page.last), None)
    tags, has_more = cut(_once(merge(here, there)), page.limit)
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


def respond_referrers(
    name: ImageName, digest: Digest, request: Request, view: View, more: Sequence[Row] = ()
) -> Response:
    """List the manifests of the image that refer to `digest`, as an index; empty if there are none.

    `more` are those that a proxy repository's source lists, in the order of their cursors.

    A page has at most MAX_REFERRERS bytes, but one descriptor at least: a larger one is alone.

    Raises:
        PaginationNumberInvalid: `last` is no cursor.
    """
    parameters = parse_query(request.query)
    wanted = first(parameters, "artifactType") or None
    after = _cursor(first(parameters, "last") or "")
    found = merge(_iter_here(name, digest, wanted, after, view), _iter_more(more, wanted, after))
    rows, cursor = _cut_to_size(_once(found), after)
    headers = () if wanted is None else (("OCI-Filters-Applied", "artifactType"),)
    if cursor is not None:
        following = {} if wanted is None else {"artifactType": wanted}
        path = f"/v2/{name}/referrers/{quote(str(digest), safe=':')}"
        headers = (*headers, next_link(path, following | {"last": cursor.hex()}))
    body = _HEAD + b",".join(rows) + _TAIL
    return json_response(request, body, *headers, media_type=OCI_INDEX)


def _iter_here(
    name: ImageName, digest: Digest, wanted: str | None, after: bytes, view: View
) -> Iterator[Row]:
    image = view.image(name)
    if image is not None:
        yield from view.iter_referrers(image.id, digest.key, wanted, after)


def _iter_more(more: Sequence[Row], wanted: str | None, after: bytes) -> Iterator[Row]:
    prefix = b"" if wanted is None else type_hash(wanted)
    for row in islice(more, bisect_right(more, after, key=itemgetter(0)), None):
        if row[0].startswith(prefix):
            yield row


def _cut_to_size(found: Iterator[Row], after: bytes) -> tuple[list[bytes], bytes | None]:
    """Descriptors for one page; and the cursor of the last one when there are more."""
    rows: list[bytes] = []
    size = len(_HEAD) + len(_TAIL)
    last = after
    for cursor, descriptor in found:
        size += len(descriptor) + 1
        if rows and size > MAX_REFERRERS:
            return rows, last
        rows.append(descriptor)
        last = cursor
    return rows, None


def _once(ordered: Iterable[T]) -> Iterator[T]:
    """What is there from two sides, once; of a row the first side's."""
    last: object = None
    for each in ordered:
        key = each[0] if isinstance(each, tuple) else each
        if key != last:
            yield each
        last = key


def _cursor(text: str) -> bytes:
    """Read back what a Link carried."""
    if len(text) > _MAX_CURSOR:
        raise PaginationNumberInvalid("last", text)
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise PaginationNumberInvalid("last", text) from None
