"""The application: `/v2/` ahead of Quart's body, the rest through Quart, one access line each.

Complete under stock Hypercorn; `frontend.server` adds what protects the server from its peers.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
import trio
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection

from frontend import access_log
from frontend.domain.faults import BodyTooSlow, SizeInvalid, TooLarge
from frontend.errors import KNOWN_ERRORS, wire
from frontend.management.routes import register
from frontend.registry.adapter import Exchange, join_headers
from frontend.registry.call import Registry
from frontend.server.body import Body, ClientGone, Receive
from frontend.server.serving import LOCAL_STATE

# Bytes of a management request: it is read before its credentials, so a stranger can have it held.
JSON_LIMIT: Final = 64 << 10
_HOST: Final = b"orlop"  # what Quart hears: on some that clients name it fails, none may count

Send = Callable[[Any], Awaitable[None]]


class Connection(TrioASGIHTTPConnection):
    """One request: the raw path says whether it is the registry's."""

    app: "RegistryApp"

    async def __call__(self, receive: Receive, send: Send) -> None:
        """Answer it and write its access line."""
        line = _AccessLine(self.scope, send)
        try:
            if is_registry_path(self.scope["raw_path"]):
                exchange = Exchange(self.app.registry, self.scope)
                try:
                    await exchange.run(receive, line.send)
                finally:
                    line.user = exchange.user
            else:
                await self._run_quart(receive, line)
        finally:
            line.write()

    async def _run_quart(self, receive: Receive, line: "_AccessLine") -> None:
        """Let Quart answer a request whose body we have read: it would buffer without limit.

        A body that the client holds back is asked for only if the request may be acceptable;
        without it, Quart says why it is not.
        """
        headers = join_headers(self.scope["headers"])
        body = Body(receive, headers, self.app.registry.settings.http)
        content = b""
        try:
            if not body.is_held_back or await self._is_welcome(headers):
                content = await body.read_all(JSON_LIMIT)
        except ClientGone:
            return
        except (TooLarge, SizeInvalid, BodyTooSlow) as error:
            await _refuse(error, body, line.send)
            return
        self.scope["headers"] = [
            (name, _HOST if name == b"host" else value) for name, value in self.scope["headers"]
        ]
        await super().__call__(_Replay(content).receive, line.send)
        line.user = self.scope.get("state", {}).get("orlop.user", "")

    async def _is_welcome(self, headers: Mapping[str, str]) -> bool:
        """Whether there is such a route, and an account that asks: what is known without a body."""
        urls = self.app.url_map.bind("")
        if not urls.test(self.scope["path"], self.scope["method"]):
            return False
        if self.scope.get("state", {}).get(LOCAL_STATE):
            return True
        try:
            principal = await self.app.registry.authenticator.authenticate(headers)
        except KNOWN_ERRORS:
            return False
        return not principal.is_anonymous


class RegistryApp(QuartTrio):
    """Quart-Trio with our seam. Quart's own limits are off: they would cut layers and downloads."""

    asgi_http_class = Connection

    def __init__(self, registry: Registry) -> None:
        super().__init__("frontend", static_folder=None)
        self.config.update(MAX_CONTENT_LENGTH=None, BODY_TIMEOUT=None, RESPONSE_TIMEOUT=None)
        self.registry = registry
        self.url_map.merge_slashes = False  # a redirect would go to the Host the client named
        register(self, registry)


def is_registry_path(raw_path: bytes) -> bool:
    """Whether the registry API answers it, be it with an error."""
    return raw_path == b"/v2" or raw_path.startswith(b"/v2/")


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

    def __init__(self, scope: Any, send: Send) -> None:  # noqa: ANN401 - ASGI's scope
        self._scope = scope
        self._send = send
        self._started = time.perf_counter()
        self._status = 0  # 0: the client left before an answer
        self._bytes = 0
        self.user = ""

    async def send(self, message: Any) -> None:  # noqa: ANN401 - ASGI's events are untyped
        if message["type"] == "http.response.start":
            self._status = message["status"]
        await self._send(message)
        self._bytes += len(message.get("body", b""))

    def write(self) -> None:
        path = self._scope["raw_path"].decode("latin-1")
        seconds = time.perf_counter() - self._started
        access_log.write(
            access_log.Line(
                self._scope["method"], path, self._status, self._bytes, seconds, self.user
            )
        )


async def _refuse(error: Exception, body: Body, send: Send) -> None:
    """Answer a body that Quart will not see, and close."""
    status = wire(error).status
    problem = msgspec.json.encode(
        {"type": "about:blank", "title": status.phrase, "status": status, "detail": str(error)}
    )
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(problem)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": problem, "more_body": True})
    await body.drain()
    await send({"type": "http.response.body", "body": b"", "more_body": False})
