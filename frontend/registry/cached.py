"""Reads of a proxy repository, as far as a snapshot can answer them.

What is there under its digest is as good as in a hosted repository. A tag counts while it is fresh:
its source said less than `tag_ttl_seconds` ago that it points there. Everything else needs the
source, and is left to `frontend.proxy` by raising `Uncached`.
"""

from dataclasses import dataclass, replace

from cas.digest import Digest
from cas.verbs import View
from frontend.domain import routes
from frontend.domain.faults import (
    ImageBlobUnknown,
    ImageUnknown,
    ManifestUnknown,
)
from frontend.domain.message import Request, Response
from frontend.registry.pull import respond_blob, respond_manifest_alone
from frontend.registry.site import Site
from index.changes import ImageName
from index.records import Repository, Source

_UNKNOWN = (ImageUnknown, ManifestUnknown, ImageBlobUnknown)


@dataclass(eq=False)
class Uncached(Exception):
    """A snapshot cannot say: the source of the proxy repository has to be asked."""

    route: routes.Route
    record: Repository


def source_of(record: Repository) -> Source:
    """Where a proxy repository has its images from."""
    if record.source is None:
        raise LookupError(record.id)
    return record.source


def respond_cached(
    route: routes.Route, request: Request, view: View, site: Site, record: Repository
) -> Response:
    """Answer a manifest or a blob from the snapshot, or raise.

    Raises:
        Uncached: the source has to be asked.
        ImageUnknown, ManifestUnknown, ImageBlobUnknown: there is nothing, and the repository is
            offline.
        And as `respond_manifest_alone` and `respond_blob`.
    """
    source = source_of(record)
    lasts = _freshness(route, view, site, source)
    if lasts <= 0 and not source.offline:
        raise Uncached(route, record)
    try:
        response = respond_kept(route, request, view, site)
    except _UNKNOWN:
        if source.offline:
            raise
        raise Uncached(route, record) from None
    lasts = response.lasts if source.offline else min(response.lasts, lasts)
    return replace(response, lasts=lasts, cached=record.id)


def respond_kept(route: routes.Route, request: Request, view: View, site: Site) -> Response:
    """Answer a manifest or a blob with what is there, however old.

    What a manifest needs and is damaged here comes from the source, when it is asked for.
    """
    match route:
        case routes.Manifest(name, reference):
            return respond_manifest_alone(name, reference, request, view, site)
        case routes.Blob(name, digest):
            return respond_blob(name, digest, request, view, site)
        case _:
            raise TypeError(route)


def _freshness(route: routes.Route, view: View, site: Site, source: Source) -> float:
    """For how many seconds more the source need not be asked; what has a digest never changes."""
    if not isinstance(route, routes.Manifest) or isinstance(route.reference, Digest):
        return float("inf")
    checked_at = _checked_at(view, route.name, route.reference)
    return float(checked_at + source.tag_ttl_seconds - site.now())


def _checked_at(view: View, name: ImageName, tag: str) -> int:
    image = view.image(name)
    row = None if image is None else view.tag(image.id, tag)
    return 0 if row is None else row.checked_at
