"""What the command line asks a server through, whichever way it goes; and HTTP as such a way.

On the standard library: importing httpx would take longer than the call.
"""

import http.client
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

from frontend.domain.problems import NO_CALL
from frontend.words import plain

_STREAM: Final = "application/x-ndjson"
_PROBLEM: Final = "application/problem+json"
_PAGE: Final = 1000  # items; the most that a server gives at once
_LONGEST: Final = 2000  # characters of what a server says that a person is shown


class CommandFailed(Exception):
    """What to tell the person; the command ends with 1."""


class Client(Protocol):
    """Calls of the management API."""

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """One request; returns the answer's JSON, None where it has no body.

        Raises:
            CommandFailed: no server was reached, or it refused.
        """

    def stream(self, path: str, body: object = None) -> Iterator[dict[str, Any]]:
        """POST, and yield each line of JSON as it comes.

        Raises:
            CommandFailed: as `call`; or the server ended before it had said all.
        """


def iter_items(client: Client, path: str) -> Iterator[Any]:
    """Every item of a list, page by page; `path` may have a query.

    Raises:
        CommandFailed: as `Client.call`.
    """
    mark = "&" if "?" in path else "?"
    page = 1
    while True:
        found = client.call("GET", f"{path}{mark}page={page}&per_page={_PAGE}")
        try:
            items, size, total = found["items"], found["per_page"], found["total"]
        except (KeyError, TypeError):
            raise CommandFailed("what was answered is no list: is it an Orlop?") from None
        yield from items
        if not items or page * size >= total:
            return
        page += 1


class HttpClient(ABC):
    """A client that needs to know how to connect, and what it means when that fails."""

    @property
    @abstractmethod
    def place(self) -> str:
        """The server, in words."""

    @abstractmethod
    def _connection(self) -> http.client.HTTPConnection:
        """A new one; it connects when it is used."""

    @abstractmethod
    def _trouble(self, error: Exception) -> str | None:
        """What to tell the person when it could not connect; None: nothing better than usual."""

    def _headers(self) -> Mapping[str, str]:
        return {}

    def _path(self, path: str) -> str:
        return path

    def _hint(self, status: int) -> str:
        """What may help, behind what the server said."""
        return ""

    def _doubt(self) -> str:
        """What to look at when others answer than we expect."""
        return "is it one?"

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """See `Client`."""
        with self._asking(method, path, body) as answer:
            return self._read(answer, method, path)

    def stream(self, path: str, body: object = None) -> Iterator[dict[str, Any]]:
        """See `Client`."""
        with self._asking("POST", path, body, {"Accept": _STREAM}) as answer:
            if answer.status >= 300:
                self._read(answer, "POST", path)
            for line in answer:
                yield self._object(line)

    @contextmanager
    def _asking(
        self, method: str, path: str, body: object, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = self._connection()
        content = None if body is None else json.dumps(body).encode()
        sent = {"Accept": "application/json", **self._headers(), **(headers or {})}
        if content is not None:
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, self._path(path), content, sent)
            yield connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            said = plain(f"{self.place} did not answer: {error!r}")
            raise CommandFailed(self._trouble(error) or said) from None
        finally:
            connection.close()

    def _read(self, answer: http.client.HTTPResponse, method: str, path: str) -> Any:  # noqa: ANN401 - JSON
        content = answer.read()
        if answer.status < 300:
            return self._object(content) if content else None
        raise CommandFailed(self._refusal(answer, content, f"{method} {path.partition('?')[0]}"))

    def _refusal(self, answer: http.client.HTTPResponse, content: bytes, call: str) -> str:
        if 300 <= answer.status < 400:
            place = plain(answer.headers.get("Location", "elsewhere"))
            return f"{self.place} sends us to {place[:_LONGEST]}: name that, if you trust it"
        if answer.headers.get_content_type() != _PROBLEM:
            return (
                f"{self.place} answered {call} with {answer.status}, and not as Orlop does: "
                f"{self._doubt()}"
            )
        problem = self._object(content)
        if not isinstance(problem, dict):
            problem = {}
        detail = plain(str(problem.get("detail", "")))[:_LONGEST] or str(answer.status)
        if answer.status == 405 or (answer.status == 404 and problem.get("type") == NO_CALL):
            return f"{self.place} does not know {call}: it is of another version than this command"
        return detail + self._hint(answer.status)

    def _object(self, content: bytes) -> Any:  # noqa: ANN401 - JSON
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise CommandFailed(f"{self.place} answered no JSON: is it an Orlop?") from None
