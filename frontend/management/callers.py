"""Who calls the management API, and whether as an administrator: asked first by every handler."""

from typing import Any

from quart import request

from frontend.access.users import ADMIN
from frontend.domain.message import Principal
from frontend.domain.rights import require_account
from frontend.management.problems import Forbidden
from frontend.registry.call import Registry
from frontend.server.serving import LOCAL_STATE


class Callers:
    """Knows the caller of the request under way."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def account(self) -> Principal:
        """Whoever is signed in, or asks through the socket in the data directory.

        Raises:
            Unauthorized: nobody is.
            Forbidden: by a token of the registry.
        """
        state: dict[str, Any] = dict(request.scope.get("state", {}))
        if state.get(LOCAL_STATE):
            principal = Principal(ADMIN, is_admin=True)
        else:
            headers = {name.lower(): value for name, value in request.headers.items()}
            principal = await self._registry.authenticator.authenticate(headers)
        require_account(principal, self._registry.site.realm)
        if principal.grants is not None:
            raise Forbidden("a registry token is for the registry: use the password here")
        request.scope["state"]["orlop.user"] = principal.name  # for the access line
        return principal

    async def admin(self, action: str) -> None:
        """Only an administrator may do `action`.

        Raises:
            Unauthorized, Forbidden.
        """
        principal = await self.account()
        if not principal.is_admin:
            raise Forbidden(f"only an administrator may {action}")
