"""Errors of the management API: RFC 9457 problems, with the statuses of `frontend.errors`."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from werkzeug.exceptions import HTTPException, NotFound as PathUnknown

from frontend.domain.message import Realm, Response
from frontend.domain.problems import NO_CALL
from frontend.errors import KNOWN_ERRORS, error_response, wire


class Problem(msgspec.Struct, frozen=True):
    """What went wrong, and in `detail` what may help (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class Conflict(Exception):
    """What was to be created is there."""


class NotFound(Exception):
    """What was named is not there, or not for the caller to know of."""


class Ending(Exception):
    """The server ends, and does not wait for what takes long."""

    def __str__(self) -> str:
        return "the server ends before the work does; it goes on with the next run"


class Outdated(Exception):
    """If-Match names another state than there is."""

    def __str__(self) -> str:
        return "it was changed since you read it: read it again, and repeat the change on that"


class Forbidden(Exception):
    """The account may not do this."""


KNOWN_PROBLEMS: Final = (
    Conflict,
    NotFound,
    Ending,
    Outdated,
    Forbidden,
    HTTPException,
    *KNOWN_ERRORS,
)

_STATUS: Final[Mapping[type[Exception], HTTPStatus]] = {
    Conflict: HTTPStatus.CONFLICT,
    Forbidden: HTTPStatus.FORBIDDEN,
    Ending: HTTPStatus.SERVICE_UNAVAILABLE,
    NotFound: HTTPStatus.NOT_FOUND,
    Outdated: HTTPStatus.PRECONDITION_FAILED,
}
_KEPT: Final = ("WWW-Authenticate", "Retry-After", "Allow")  # headers of the registry's answer


def problem_response(error: Exception, realm: Realm | None, method: str = "GET") -> Response:
    """Answer any error, of a handler or of the door."""
    status, detail, headers = problem_words(error, realm)
    kind = NO_CALL if isinstance(error, PathUnknown) else "about:blank"
    content = msgspec.json.encode(Problem(kind, status.phrase, int(status), detail))
    fixed = (
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(content))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    )
    return Response(status, (*fixed, *headers), () if method == "HEAD" else (content,))


def problem_words(
    error: Exception, realm: Realm | None
) -> tuple[HTTPStatus, str, tuple[tuple[str, str], ...]]:
    """Status, detail, and headers of its own. An error of ours is logged."""
    if type(error) in _STATUS:
        return _STATUS[type(error)], str(error), ()
    if isinstance(error, HTTPException):
        code = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        own = tuple(each for each in error.get_headers() if each[0] == "Allow")
        return code, error.description or "", own
    answer = wire(error)
    own = tuple(each for each in error_response(error, realm=realm).headers if each[0] in _KEPT)
    return answer.status, answer.message or str(error), own
