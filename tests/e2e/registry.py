"""A registry as its clients see it, and the few HTTP requests that no client makes for us."""

import base64
import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

REQUEST_SECONDS = 60.0


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Registry:
    """Where a registry listens, and who may use it."""

    port: int
    password: str = field(repr=False)
    user: str = "admin"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def credentials(self) -> str:
        """`user:password`, as most clients take it on their command line."""
        return f"{self.user}:{self.password}"

    @property
    def authorization(self) -> str:
        return "Basic " + base64.b64encode(self.credentials.encode()).decode()

    def image(self, name: str, repository: str = "local/images") -> str:
        """Return the reference of an image, to which a tag may be added."""
        return f"{self.address}/{repository}/{name}"

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection, which the caller closes."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS)

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make one request on a connection of its own. `target` may be a whole Location."""
        connection = self.connect()
        try:
            connection.request(
                method,
                target.removeprefix(f"http://{self.address}"),
                body,
                {"Authorization": self.authorization, **(headers or {})},
            )
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def answers(self, target: str, status: int = HTTPStatus.OK) -> bool:
        """Tell whether a GET of `target` is answered with `status` now."""
        try:
            return self.ask("GET", target).status == status
        except (OSError, http.client.HTTPException):
            return False
