"""An upstream that does what a test says, on raw sockets: HTTP by hand, so that it can be wrong."""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

import trio

from frontend.domain.networks import Allowance
from frontend.domain.outbound import Credentials
from frontend.domain.upstream import Upstream
from frontend.upstream.client import UpstreamClient
from frontend.upstream.transport import Patience, Way
from frontend.upstream.trust import Trust

HOST = "upstream.example"
TRUST = Trust()


@dataclass(frozen=True)
class Asked:
    """A request; `connection` counts them."""

    method: str
    target: str
    headers: dict[str, str]
    content: bytes = b""
    connection: int = 0


Behave = Callable[[Asked, trio.abc.Stream], Awaitable[object]]


def answer(status: int = 200, body: bytes = b"", *fields: str, length: int | None = None) -> bytes:
    """An answer as it should be; `length` for one that is not."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status} Some Reason", f"Content-Length: {size}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def sending(*parts: bytes) -> Behave:
    """Send these, whatever is asked, and keep the connection."""

    async def behave(asked: Asked, stream: trio.abc.Stream) -> bool:
        for part in parts:
            await stream.send_all(part)
        return True

    return behave


@dataclass
class Faulty:
    """Answers each request as `behave` does; it keeps the connection if that returns True."""

    nursery: trio.Nursery
    behave: Behave = field(default_factory=lambda: sending(answer(404)))
    requests: list[Asked] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=lambda: {HOST: ["127.0.0.1"]})
    resolved: list[str] = field(default_factory=list)
    clients: list[UpstreamClient] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    async def begin(self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        """Listen on a port of `host`; under TLS with `context`."""
        self._context = context
        serve = trio.serve_tcp
        listeners = await self.nursery.start(
            lambda task_status: serve(self._serve, 0, host=host, task_status=task_status)
        )
        self.port = listeners[0].socket.getsockname()[1]

    async def resolve(self, host: str, port: int):
        """The names that the test gave; all others there are not."""
        self.resolved.append(host)
        if host not in self.names:
            raise OSError("no such name")
        return [ip_address(text) for text in self.names[host]]

    def url(self, path: str = "", host: str = HOST, scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def client(
        self,
        *allow: str,
        user: str = "",
        password: str = "",
        patience: Patience | None = None,
        url: str = "",
        **way: object,
    ) -> UpstreamClient:
        """A client of it, which may go to `allow` as well."""
        credentials = Credentials(user, password) if user else None
        settings = {"trust": TRUST, "allowance": Allowance.parse(allow)} | way
        if patience is not None:
            settings["patience"] = patience
        upstream = Upstream.parse(url or self.url(), credentials)
        made = UpstreamClient(upstream, Way(**settings), self.resolve)
        self.clients.append(made)
        return made

    async def _serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        number = self.connections
        if self._context is not None:
            stream = trio.SSLStream(stream, self._context, server_side=True)
        try:
            while (asked := await _request(stream, number)) is not None:
                self.requests.append(asked)
                if not await self.behave(asked, stream):
                    break
        except (trio.BrokenResourceError, ssl.SSLError):
            pass  # the client had enough
        await trio.aclose_forcefully(stream)


async def _request(stream: trio.abc.Stream, number: int) -> Asked | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some()
        if not more:
            return None
        data += more
    head, _, content = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
    while len(content) < int(headers.get("content-length", "0")):
        content += await stream.receive_some()
    return Asked(method, target, headers, content, number)
