"""The application: `/v2/` ahead of Quart's body, the rest through Quart, one access line each.

Complete under stock Hypercorn; `frontend.server` adds what protects the server from its peers.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import trio
from quart import Response as QuartResponse, request
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection

from frontend import access_log
from frontend.domain.message import Slice
from frontend.figures.counting import Counting
from frontend.management.door import Door
from frontend.management.problems import KNOWN_PROBLEMS
from frontend.management.routes import management_routes
from frontend.management.routing import ADMITTED, GONE, Admitted, register
from frontend.registry.adapter import Exchange, join_headers
from frontend.registry.call import Registry
from frontend.server.body import Body, ClientGone, Receive
from frontend.server.delivery import Way, deliver, wait_gone
from frontend.server.outlet import EXTENSION, Outlet, outlet_of
from frontend.web.calls import Desk
from frontend.web.pages import web_pages
from frontend.web.site import FolderPath, ImagePath, Site

_HOST: Final = b"orlop"  # what Quart hears: on some that clients name it fails, none may count

Send = Callable[[Any], Awaitable[None]]


class Connection(TrioASGIHTTPConnection):
    """One request: the raw path says whether it is the registry's."""

    app: "RegistryApp"

    async def __call__(self, receive: Receive, send: Send) -> None:
        """Answer it and write its access line."""
        line = _AccessLine(self.scope, send, self.app.registry.figures.counting)
        try:
            if is_registry_path(self.scope["raw_path"]):
                exchange = Exchange(self.app.registry, self.scope)
                try:
                    await exchange.run(receive, line.send)
                finally:
                    line.user, line.address = exchange.user, exchange.client.address
            else:
                headers = join_headers(self.scope["headers"])
                await self._run_quart(receive, line.send, headers, line)
        finally:
            line.write()

    async def _run_quart(
        self, receive: Receive, send: Send, headers: Mapping[str, str], line: "_AccessLine"
    ) -> None:
        """Let Quart answer a request that was admitted, and whose body we have read.

        It would buffer a body without limit. Whoever may not ask is not even asked for one.
        """
        registry = self.app.registry
        body = Body(receive, headers, registry.settings.http)
        client = registry.client(self.scope.get("client"), headers)
        line.address = client.address
        try:
            admitted = await self.app.door.admit(self.scope, headers, client)
            line.user = admitted.principal.name
            content = await body.read_all(admitted.route.body_limit)
        except ClientGone:
            return
        except KNOWN_PROBLEMS as error:
            refusal = self.app.site.refusal(error, self.scope, headers, client)
            await deliver(refusal, body, Way(receive, send))
            return
        self.scope["state"] |= {ADMITTED: admitted, GONE: partial(wait_gone, receive)}
        self.scope["headers"] = [
            (name, _HOST if name == b"host" else value) for name, value in self.scope["headers"]
        ]
        await super().__call__(_Replay(content).receive, send)


class RegistryApp(QuartTrio):
    """Quart-Trio with our seam. Quart's own limits are off: they would cut layers and downloads."""

    asgi_http_class = Connection

    def __init__(self, registry: Registry) -> None:
        super().__init__("frontend", static_folder=None)
        self.config.update(MAX_CONTENT_LENGTH=None, BODY_TIMEOUT=None, RESPONSE_TIMEOUT=None)
        self.registry = registry
        self.url_map.merge_slashes = False  # a redirect would go to the Host the client named
        self.url_map.converters |= {"image": ImagePath, "folder": FolderPath}
        routes, pages = management_routes(registry), web_pages(registry)
        self.door = Door(registry, self.url_map, (*routes, *pages))
        self.site = Site(registry, Desk.of(self.door, routes))
        register(self, routes)
        self.site.register(self, pages)
        self.register_error_handler(Exception, self._refused)

    def _refused(self, error: Exception) -> QuartResponse:
        """What a handler raised, as Quart wants it answered."""
        who: Admitted = request.scope["state"][ADMITTED]
        made = self.site.refusal(error, request.scope, who.headers, who.client)
        content = b"".join(part for part in made.body if isinstance(part, bytes))
        return QuartResponse(content, int(made.status), headers=dict(made.headers))


def is_registry_path(raw_path: bytes) -> bool:
    """Whether the registry API answers it, be it with an error."""
    return raw_path == b"/v2" or raw_path.startswith((b"/v2/", b"/mirror/"))


class _Replay:
    """An ASGI `receive` of a body that was read already.

    It never tells of a disconnect: Quart would cancel the answer while Hypercorn finishes it, and
    the connection would never be idle again.
    """

    def __init__(self, content: bytes) -> None:
        self._content: bytes | None = content

    async def receive(self) -> Any:  # noqa: ANN401 - ASGI's events are untyped
        if self._content is None:
            await trio.sleep_forever()
        content, self._content = self._content, None
        return {"type": "http.request", "body": content, "more_body": False}


class _AccessLine:
    """Counts what is sent."""

    def __init__(self, scope: Any, send: Send, counting: Counting) -> None:  # noqa: ANN401 - ASGI's scope
        outlet = outlet_of(scope)
        if outlet is not None:
            scope["extensions"] = scope["extensions"] | {EXTENSION: partial(self._pass, outlet)}
        self._scope = scope
        self._counting = counting
        self._send = send
        self._started = time.perf_counter()
        self._status = 0  # 0: the client left before an answer
        self._bytes = 0
        self.user = ""
        self.address = ""

    async def send(self, message: Any) -> None:  # noqa: ANN401 - ASGI's events are untyped
        if message["type"] == "http.response.start":
            self._status = message["status"]
        await self._send(message)
        self._bytes += len(message.get("body", b""))

    async def _pass(self, outlet: Outlet, part: Slice) -> None:
        await outlet(part)
        self._bytes += len(part)

    def write(self) -> None:
        self._counting.request(self._scope["method"], self._status, self._bytes)
        path = self._scope["raw_path"].decode("latin-1")
        seconds = time.perf_counter() - self._started
        access_log.write(
            access_log.Line(
                self._scope["method"],
                path,
                self._status,
                self._bytes,
                seconds,
                self.user,
                self.address,
            )
        )
