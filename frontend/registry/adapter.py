"""The Quart-Trio side of `/v2/`: ASGI events in, one of our handlers, ASGI events out.

A request goes authenticate → route → rights → handler. Reads are `respond` on a snapshot; writes
are the handlers of `WRITES`, which read their body themselves.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from frontend.domain import routes
from frontend.domain.faults import NameUnknown, Unauthorized
from frontend.domain.message import ANONYMOUS, SOCKET, Principal, Request, Response
from frontend.domain.rights import CATALOG, scope_of
from frontend.errors import API_VERSION, KNOWN_ERRORS, error_response
from frontend.registry import manifests, uploads
from frontend.registry.cached import Uncached
from frontend.registry.call import Call, Registry
from frontend.registry.mirrors import Mirrored, as_asked, find_mirrored, is_mirrored
from frontend.registry.replies import json_response
from frontend.registry.respond import answer, is_read
from frontend.registry.site import Site
from frontend.registry.token import issue
from frontend.server.body import Body, ClientGone, Receive
from frontend.server.delivery import Way, deliver
from frontend.server.groups import sole_leaf
from frontend.server.intake import intake_of
from frontend.server.outlet import outlet_of
from frontend.server.serving import LOCAL_STATE
from index.changes import ImageName

Handler = Callable[[Call, Any], Awaitable[Response]]

WRITES: Final[Mapping[tuple[type[routes.Route], str], Handler]] = {
    (routes.BlobUploads, "POST"): uploads.begin,
    (routes.BlobUpload, "PATCH"): uploads.append,
    (routes.BlobUpload, "PUT"): uploads.finish,
    (routes.BlobUpload, "GET"): uploads.status,
    (routes.BlobUpload, "HEAD"): uploads.status,
    (routes.BlobUpload, "DELETE"): uploads.cancel,
    (routes.Manifest, "PUT"): manifests.put_manifest,
    (routes.Manifest, "DELETE"): manifests.delete_manifest,
    (routes.Blob, "DELETE"): manifests.delete_blob,
}
_PUSHES: Final = (routes.BlobUploads, routes.BlobUpload)


class Exchange:
    """One request on `/v2/`, from its head to its answer. `user` is known once it is checked."""

    def __init__(self, registry: Registry, scope: Mapping[str, Any]) -> None:
        self.registry = registry
        self.scope = scope
        self.user = ""
        self.method: str = scope["method"]
        self.path = scope["raw_path"].decode("latin-1")
        self.headers = join_headers(scope["headers"])
        self.query = scope["query_string"].decode("latin-1")
        self.client = registry.client(scope.get("client"), self.headers)
        self.mirrored = Mirrored(self.path)

    async def run(self, receive: Receive, send: Callable[[Any], Awaitable[None]]) -> None:
        """Answer the request.

        Raises:
            Exception: after the answer began; the server must end the connection.
        """
        limits = self.registry.settings.http
        body = Body(receive, self.headers, limits, intake_of(self.scope))
        try:
            response = await self._answer(body)
        except ClientGone:
            return
        if self.mirrored.namespace:
            said = ("OCI-Namespace", self.mirrored.namespace)
            response = replace(response, headers=(*response.headers, said))
        way = Way(receive, send, outlet_of(self.scope))
        await deliver(finished(response, self.user), body, way, self.registry.store)

    async def _answer(self, body: Body) -> Response:
        try:
            return await self._handle(body)
        except ClientGone:
            raise
        except KNOWN_ERRORS as error:
            return error_response(error, method=self.method, realm=self.client.realm)
        # A bug of ours must not cost the client its connection: it gets a 500 and we the trace.
        except Exception as error:  # noqa: BLE001 - see above
            leaf = sole_leaf(error)
            known = leaf if isinstance(leaf, KNOWN_ERRORS) else error
            return error_response(known, method=self.method, realm=self.client.realm)

    async def _handle(self, body: Body) -> Response:
        route = self._match(ANONYMOUS)
        principal = await self._authenticate(route)
        self.user = principal.name
        if self.mirrored.sought and not principal.is_anonymous:
            route = self._match(principal)
        if isinstance(route, Exception):
            raise self._refusal(route, principal)
        principal = as_asked(principal, self.mirrored, getattr(route, "name", None))
        routes.require_method(route, self.method)
        request = Request(
            self.method,
            self.mirrored.path,
            self.query,
            self.headers,
            principal,
            self.client.address,
        )
        if isinstance(route, routes.Token):
            return await issue(self.registry, request, body, self.client)
        if isinstance(route, routes.Base) and self.mirrored.is_open:
            return json_response(request, {})
        if is_read(route, self.method):
            site = replace(self.registry.site, realm=self.client.realm)
            response = await self._read(request, route, site)
            if response.pulled:
                self.registry.pulls.note(response.pulled)
            return response
        handler = WRITES[type(route), self.method]
        return await handler(Call(self.registry, request, body), route)

    async def _read(self, request: Request, route: routes.Route, site: Site) -> Response:
        """The answer from a snapshot; or, of a proxy repository, from its source."""
        counting = self.registry.figures.counting
        try:
            response = self.registry.store.read(lambda view: answer(request, view, site, route))
        except Uncached as uncached:
            is_counted = isinstance(route, routes.Manifest | routes.Blob)
            if is_counted:
                counting.miss(uncached.record.id)
            response = await self.registry.proxy.answer(uncached, request, site)
            if is_counted and any(name == "Warning" for name, _ in response.headers):
                counting.stale(uncached.record.id)
            return response
        if response.cached:
            counting.hit(response.cached, sum(map(len, response.body)))
        return response

    def _match(self, principal: Principal) -> routes.Route | Exception:
        """The route, or why there is none: said only after the credentials were checked."""
        try:
            if is_mirrored(self.path, self.query):
                look = partial(find_mirrored, self.path, self.query, principal)
                self.mirrored = self.registry.store.read(look)
            return routes.Base() if self.mirrored.is_base else routes.match(self.mirrored.path)
        except KNOWN_ERRORS as error:
            return error

    def _refusal(self, route: Exception, principal: Principal) -> Exception:
        """Why there is no route. Of a namespace, signing in may find one that is private."""
        if isinstance(route, NameUnknown) and self.mirrored.sought and principal.is_anonymous:
            return Unauthorized(scope=wanted_scope(route, self.method))
        return route

    async def _authenticate(self, route: routes.Route | Exception) -> Principal:
        if isinstance(route, routes.Token):
            return ANONYMOUS  # the endpoint looks at credentials itself
        if self.scope.get("state", {}).get(LOCAL_STATE):
            return SOCKET
        scope = wanted_scope(route, self.method)
        return await self.registry.identify(self.headers, self.client, scope, self.method)


def wanted_scope(route: routes.Route | Exception, method: str) -> str:
    """The scope a client should ask a token for to do this."""
    if isinstance(route, routes.Catalog):
        return CATALOG
    if isinstance(route, Exception) and not isinstance(route, NameUnknown):
        return ""
    name: ImageName | str | None = getattr(route, "name", None)
    if name is None:
        return ""
    if isinstance(route, _PUSHES) or method in ("PUT", "PATCH", "POST"):
        return scope_of(name, "push")
    return scope_of(name, "delete" if method == "DELETE" else "pull")


def join_headers(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Lower-case names; fields that came several times are joined (RFC 9110, 5.3).

    Cookies have a separator of their own: with h2 browsers send each by itself, and some proxies
    hand them on so (RFC 9113, 8.2.3).
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in headers:
            value = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{value}"
        headers[name] = value
    return headers


def finished(response: Response, user: str) -> Response:
    """The answer with what every one of `/v2/` says: which API it is of, and whom it is for.

    A cache before us hands what is for a `user` to nobody else: it may not know that a cookie, too,
    says who asks. Source: RFC 9111, 5.2.2.7.
    """
    headers = (
        response.headers if API_VERSION in response.headers else (API_VERSION, *response.headers)
    )
    if user:
        said = dict(headers).get("Cache-Control", "no-cache")
        others = (each for each in headers if each[0] != "Cache-Control")
        headers = (*others, ("Cache-Control", f"private, {said}"))
    return response if headers is response.headers else replace(response, headers=headers)
