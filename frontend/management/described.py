"""`GET /api/v1/openapi.json`: the management API described for programs."""

from collections.abc import Sequence

import msgspec

from frontend import VERSION
from frontend.management.openapi import document
from frontend.management.routing import Anybody, Asked, Reply, Route


class Described:
    """Describes `routes`, and its own; made when somebody asks for the first time."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.route = Route(
            method="GET",
            path="/api/v1/openapi.json",
            access=Anybody(),
            handler=self.show,
            summary="This document.",
            answer=dict[str, object],
        )
        self._routes = (*routes, self.route)
        self._made: msgspec.Raw | None = None

    async def show(self, _: Asked) -> Reply:
        """Show the document."""
        if self._made is None:
            self._made = msgspec.Raw(msgspec.json.encode(document(self._routes, VERSION)))
        return Reply(self._made)
