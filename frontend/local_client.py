"""The command line's way to the running server: HTTP over the admin socket of a data directory.

On the standard library: importing httpx would take longer than the call.
"""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cas.sockets import connected_path
from frontend.server.paths import ADMIN_SOCKET


class CommandFailed(Exception):
    """What to tell the person; the command ends with 1."""


class _Connection(http.client.HTTPConnection):
    """HTTP on a Unix socket. No time limit: a check may take long, and a person can interrupt."""

    def __init__(self, path: Path) -> None:
        super().__init__("orlop")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        with connected_path(self._path) as short:
            self.sock.connect(short)


@dataclass(frozen=True, slots=True)
class LocalClient:
    """Calls the server of one data directory, without a password: the socket's folder is ours."""

    data: Path

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """One request; returns the answer's JSON.

        Raises:
            CommandFailed: no server runs there, or it refused.
        """
        with self._asking(method, path, body) as answer:
            return self._read(answer.status, answer.read())

    def stream(self, path: str, body: object = None) -> Iterator[dict[str, Any]]:
        """POST, and yield each line of JSON as it comes.

        Raises:
            CommandFailed: as `call`; or the server ended before it had said all.
        """
        with self._asking("POST", path, body, {"Accept": "application/x-ndjson"}) as answer:
            if answer.status >= 300:
                self._read(answer.status, answer.read())
            for line in answer:
                yield self._object(line)

    @contextmanager
    def _asking(
        self, method: str, path: str, body: object, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _Connection(self.data / ADMIN_SOCKET)
        content = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, content, dict(headers or {}))
            yield connection.getresponse()
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            raise CommandFailed(
                f"no server runs on {self.data}: start it with "
                f"`orlop serve --data {self.data}`, or name another directory with --data"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise CommandFailed(f"the server on {self.data} did not answer: {error!r}") from None
        finally:
            connection.close()

    def _read(self, status: int, content: bytes) -> Any:  # noqa: ANN401 - JSON
        answer = self._object(content)
        if status < 300:
            return answer
        raise CommandFailed(str(answer.get("detail", answer)))

    def _object(self, content: bytes) -> Any:  # noqa: ANN401 - JSON
        try:
            return json.loads(content)
        except ValueError:
            raise CommandFailed(f"the server on {self.data} answered {content[:200]!r}") from None
