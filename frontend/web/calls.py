"""The management API in process: what a page shows and does are the API's own calls.

    found: RepositoryPage = await visit.calls.get("/api/v1/repositories", page=2)
    await visit.calls.delete("/api/v1/tokens/<id>", id=visit.form["id"])

A call is named by its path as the route has it. The parts of the path, and all else that is given
by name, are its place and its query. The caller passes the same door as over HTTP, with the same
refusals; the values have the types of the route's answer.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import msgspec

from frontend.domain.faults import RequestInvalid, Unauthorized
from frontend.domain.message import Client, Principal
from frontend.management.door import Door
from frontend.management.problems import Forbidden, NotFound
from frontend.management.routing import Asked, Reply, Route, read_query

_PART: Final = re.compile(r"<([a-z_]+)>")
# Of the request for the page; what it says of versions and of forms of answers is the page's own.
_KEPT: Final = ("cookie", "user-agent", "origin", "sec-fetch-site", "host")


@dataclass(frozen=True, slots=True)
class Desk:
    """The calls there are, and the door to them."""

    door: Door
    routes: Mapping[str, Route]

    @classmethod
    def of(cls, door: Door, routes: Sequence[Route]) -> Self:
        """All of `routes`, by name."""
        return cls(door, {route.name: route for route in routes})


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one visitor."""

    desk: Desk
    principal: Principal
    client: Client
    wait_gone: Callable[[], Awaitable[None]]
    headers: Mapping[str, str] = field(default_factory=dict)  # of the request for the page

    async def get(self, path: str, **parameters: Any) -> Any:  # noqa: ANN401 - the route's type
        """Ask for a value."""
        return (await self.ask("GET", path, **parameters)).value

    async def post(self, path: str, body: Any = None, **parameters: Any) -> Any:  # noqa: ANN401
        """Make something; `body` is a dict, or of the route's type."""
        return (await self.ask("POST", path, body, **parameters)).value

    async def put(self, path: str, body: Any, **parameters: Any) -> Any:  # noqa: ANN401 - as `post`
        """Set something."""
        return (await self.ask("PUT", path, body, **parameters)).value

    async def patch(self, path: str, body: Any, **parameters: Any) -> Any:  # noqa: ANN401
        """Change something."""
        return (await self.ask("PATCH", path, body, **parameters)).value

    async def delete(self, path: str, body: Any = None, **parameters: Any) -> Any:  # noqa: ANN401
        """Remove something."""
        return (await self.ask("DELETE", path, body, **parameters)).value

    def may(self, method: str, path: str, **place: str) -> bool:
        """Whether the visitor would be let in, for what a page offers; the call asks again."""
        try:
            self.desk.door.enter(self.desk.routes[f"{method} {path}"], self.principal, place)
        except (Unauthorized, Forbidden, NotFound):
            return False
        return True

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,  # noqa: ANN401 - the route's type
        headers: Mapping[str, str] | None = None,
        **parameters: Any,  # noqa: ANN401 - the query's
    ) -> Reply:
        """Make a call; `headers` are for this one (lower case), and the reply has those it sets.

        Raises:
            KNOWN_PROBLEMS: what the door and the handler raise.
        """
        route = self.desk.routes[f"{method} {path}"]
        place = {part: str(parameters.pop(part)) for part in _PART.findall(path)}
        if not all(value and "/" not in value for value in place.values()):
            raise NotFound("there is nothing of this name")
        principal = self.desk.door.enter(route, self.principal, place)
        kept = {name: self.headers[name] for name in _KEPT if name in self.headers}
        said = {name: value for name, value in parameters.items() if value not in (None, "")}
        reply = await route.handler(
            Asked(
                principal,
                self.client,
                place,
                None if route.query is None else read_query(route.query, said),
                None if route.body is None else _body(route, body),
                kept | dict(headers or {}),
                self.wait_gone,
            )
        )
        if not isinstance(reply, Reply):
            # Work whose report is written as it comes: nobody asked for a stream of it.
            content = await reply.get_data(as_text=False)
            return Reply(msgspec.json.decode(content, type=route.answer))
        return _typed(route, reply)


def _body(route: Route, body: Any) -> Any:  # noqa: ANN401 - the route's type
    if body is None and route.is_body_optional:
        return route.body()
    try:
        return msgspec.convert(body, route.body)
    except msgspec.ValidationError as error:
        raise RequestInvalid(f"the body is not as expected: {error}") from None


def _typed(route: Route, reply: Reply) -> Reply:
    """The reply with its value as the route describes it: handlers may answer with dicts."""
    if not isinstance(reply.value, Mapping):
        return reply
    return Reply(
        msgspec.convert(reply.value, route.answer, from_attributes=True),
        reply.headers,
        reply.status,
    )
