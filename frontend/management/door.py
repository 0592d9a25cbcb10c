"""Who may call what of the management API: asked in one place, before a body is read."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from frontend.access.standing import find_place
from frontend.access.users import fold
from frontend.domain.faults import CsrfFailed
from frontend.domain.message import ANONYMOUS, SOCKET, Client, Evidence, Principal
from frontend.domain.origin import is_own_origin
from frontend.domain.rights import allowed, require_account
from frontend.management.problems import Forbidden, NotFound
from frontend.management.routing import (
    Access,
    Account,
    Admin,
    Admitted,
    Anybody,
    Entrance,
    OnRepository,
    Own,
)
from frontend.registry.call import Registry
from frontend.server.serving import LOCAL_STATE

_FREE: Final = ("/healthz", "/readyz", "/static/")
_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))


class Door:
    """Lets in whoever may, and says to others why not."""

    def __init__(self, registry: Registry, urls: Map, routes: Sequence[Entrance]) -> None:
        self._registry = registry
        self._urls = urls
        self._routes = {route.name: route for route in routes}

    async def admit(
        self, scope: Mapping[str, Any], headers: Mapping[str, str], client: Client
    ) -> Admitted:
        """Find the route, who asks, and whether he may.

        Raises:
            werkzeug's HTTPException: there is no such path or method.
            Unauthorized, CsrfFailed, TooManyRequests, Forbidden, NotFound
        """
        try:
            name, place = self._match(scope["path"], scope["method"])
        except HTTPException:
            self._count(scope, client)
            raise
        route = self._routes[name]
        if isinstance(route.access, Anybody):
            self._count(scope, client)
            principal = ANONYMOUS
        else:
            principal = await self._identify(scope, headers, client, is_page=route.is_page)
        return Admitted(self.enter(route, principal, place), route, headers, client)

    def enter(self, route: Entrance, principal: Principal, place: Mapping[str, str]) -> Principal:
        """Let in somebody who is known already: with what the right rests on beside who he is.

        Raises:
            Unauthorized, Forbidden, NotFound
        """
        if isinstance(route.access, Anybody):
            return ANONYMOUS
        evidence = self._require(route.access, principal, place)
        return replace(principal, evidence=(*principal.evidence, *evidence))

    def _count(self, scope: Mapping[str, Any], client: Client) -> None:
        """Count a request of which nobody asks who sends it. Health is free, and so is our socket.

        Raises:
            TooManyRequests
        """
        if not scope["path"].startswith(_FREE) and not scope.get("state", {}).get(LOCAL_STATE):
            self._registry.limits.check_rate("", client.address)

    def _match(self, path: str, method: str) -> tuple[str, Mapping[str, str]]:
        found: tuple[str, Mapping[str, str]] = self._urls.bind("").match(path, method)
        return found

    async def _identify(
        self,
        scope: Mapping[str, Any],
        headers: Mapping[str, str],
        client: Client,
        *,
        is_page: bool,
    ) -> Principal:
        if scope.get("state", {}).get(LOCAL_STATE):
            return SOCKET
        method = scope["method"]
        if is_page and method not in _SAFE:  # the form's own token is in the body, not yet read
            if not is_own_origin(headers, client.realm.url):
                raise CsrfFailed
            method = "GET"
        principal = await self._registry.identify(headers, client, method=method)
        if principal.grants is not None:
            raise Forbidden("a registry token is for the registry: use the password here")
        return principal

    def _require(
        self, access: Access, principal: Principal, place: Mapping[str, str]
    ) -> tuple[Evidence, ...]:
        """What the right rests on, beside who it is."""
        match access:
            case Account():
                self._require_account(principal, access.is_direct)
            case Own(to, is_direct):
                self._require_account(principal, is_direct)
                if not principal.is_administrator and principal.name != fold(place["username"]):
                    raise Forbidden(f"only an administrator, and whoever it is, may {to}")
            case Admin(to):
                self._require_account(principal)
                if not principal.is_administrator:
                    raise Forbidden(f"only an administrator may {to}")
            case OnRepository():
                name = f"{place['storage']}/{place['name']}"
                return self._require_repository(access, principal, name)
        return ()

    def _require_account(self, principal: Principal, is_direct: bool = False) -> None:
        require_account(principal)
        if is_direct and not principal.is_direct:
            raise Forbidden("a token may not do this: use the password, or a session")

    def _require_repository(
        self, access: OnRepository, principal: Principal, name: str
    ) -> tuple[Evidence, ...]:
        place = self._registry.store.read(partial(find_place, principal=principal, name=name))
        if allowed(principal, access.action, place):
            return place.evidence
        require_account(principal)
        if not allowed(principal, "pull", place):
            raise NotFound(f"no repository {name[:200]} that you may use")
        raise Forbidden(f"you may not {access.to} {name}")
