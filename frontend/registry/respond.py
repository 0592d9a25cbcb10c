"""Every read of `/v2/`, answered by one sync function on one snapshot: request in, response out.

The adapters (Quart-Trio in `adapter`, the connection itself in `hot`) call `answer` within
`Store.read`, await `Response.extend` if there is one, and send. Upload sessions and tokens are not
reads: they are the adapter's. Access is decided here, before anything else is looked up.
"""

from cas.verbs import View
from frontend.access.standing import find_place
from frontend.domain import routes
from frontend.domain.faults import NameUnknown, Unsupported
from frontend.domain.message import Request, Response
from frontend.domain.rights import require, require_account, require_catalog
from frontend.errors import KNOWN_ERRORS, error_response
from frontend.registry.cached import Uncached, respond_cached, source_of
from frontend.registry.discovery import respond_catalog, respond_referrers, respond_tags
from frontend.registry.pull import respond_blob, respond_manifest
from frontend.registry.replies import json_response
from frontend.registry.site import Site
from index.changes import ImageName
from index.records import Repository

Read = (
    routes.Base
    | routes.Catalog
    | routes.Discover
    | routes.Blob
    | routes.Manifest
    | routes.Tags
    | routes.Referrers
)


def is_read(route: routes.Route, method: str) -> bool:
    """Whether `respond` answers this."""
    return method in ("GET", "HEAD") and isinstance(route, Read)


def answer(request: Request, view: View, site: Site, route: routes.Route | None = None) -> Response:
    """`respond`, with our errors answered too. Everything else is a bug and goes on."""
    try:
        return respond(request, view, site, route)
    except KNOWN_ERRORS as error:
        return error_response(error, method=request.method, realm=site.realm)


def respond(
    request: Request, view: View, site: Site, route: routes.Route | None = None
) -> Response:
    """Answer a GET or HEAD from the snapshot; blobs in the response are held open.

    `route` is what the path means, when the caller knows it already.

    Raises:
        FrontendFault, CasError: as `frontend.errors` words them; no blob is left open then.
        Uncached: the source of a proxy repository has to be asked.
    """
    if route is None:
        route = routes.match(request.path)
    routes.require_method(route, request.method)
    if not is_read(route, request.method):
        raise Unsupported(f"{request.method} {request.path[:200]} is no read")
    record = _require_access(route, request, view)
    if record is not None and record.kind == "proxy":
        return _respond_proxy(route, request, view, site, record)
    return _respond(route, request, view, site)


def _require_access(route: routes.Route, request: Request, view: View) -> Repository | None:
    """Refuse whoever may not read this, by nothing but the repository's record; returns that."""
    principal = request.principal
    name: ImageName | None = getattr(route, "name", None)
    if isinstance(route, routes.Catalog):
        require_catalog(principal)
    elif name is None:
        require_account(principal)
    else:
        place = find_place(view, principal, name.repository)
        try:
            return require(principal, "pull", name, place)
        except NameUnknown:
            # Source: distribution-spec, "Listing Referrers": never 404. Whoever sees every
            # repository learns nothing from an empty list; to others, missing is like private.
            sees_all = principal.is_admin and principal.scopes is None
            if not (sees_all and isinstance(route, routes.Referrers)):
                raise
    return None


def _respond_proxy(
    route: routes.Route, request: Request, view: View, site: Site, record: Repository
) -> Response:
    match route:
        case routes.Manifest() | routes.Blob():
            return respond_cached(route, request, view, site, record)
        case routes.Tags() | routes.Referrers() if not source_of(record).offline:
            raise Uncached(route, record)
        case _:
            return _respond(route, request, view, site)


def _respond(route: routes.Route, request: Request, view: View, site: Site) -> Response:
    match route:
        case routes.Manifest(name, reference):
            return respond_manifest(name, reference, request, view, site)
        case routes.Blob(name, digest):
            return respond_blob(name, digest, request, view, site)
        case routes.Tags(name):
            return respond_tags(name, request, view)
        case routes.Referrers(name, digest):
            return respond_referrers(name, digest, request, view)
        case routes.Catalog():
            return respond_catalog(request, view)
        case _:
            return json_response(
                request, {"extensions": []} if isinstance(route, routes.Discover) else {}
            )
