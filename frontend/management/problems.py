"""Errors of the management API: RFC 9457 problems, with the statuses of `frontend.errors`."""

from http import HTTPStatus

import msgspec
from quart import Response
from werkzeug.exceptions import HTTPException

from frontend.errors import error_response, wire


class Conflict(Exception):
    """What was to be created is there."""


class NotFound(Exception):
    """What was named is not there, or not for the caller to know of."""


class Ending(Exception):
    """The server ends, and does not wait for what takes long."""

    def __str__(self) -> str:
        return "the server ends before the work does; it goes on with the next run"


class Forbidden(Exception):
    """The account may not do this."""


def problem(error: Exception) -> Response:
    """Answer any error a handler raised."""
    match error:
        case Conflict():
            return _problem(HTTPStatus.CONFLICT, str(error))
        case Forbidden():
            return _problem(HTTPStatus.FORBIDDEN, str(error))
        case Ending():
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        case NotFound():
            return _problem(HTTPStatus.NOT_FOUND, str(error))
        case HTTPException():
            code = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
            answer = _problem(code, error.description or "")
            for name, value in error.get_headers():
                if name == "Allow":
                    answer.headers[name] = value
            return answer
        case _:
            return _wired(error)


def _wired(error: Exception) -> Response:
    answer = wire(error)
    response = _problem(answer.status, answer.message or str(error))
    for name, value in error_response(error).headers:
        if name in ("WWW-Authenticate", "Retry-After", "Allow"):
            response.headers[name] = value
    return response


def _problem(status: HTTPStatus, detail: str) -> Response:
    body = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    content = msgspec.json.encode(body)
    return Response(content, int(status), content_type="application/problem+json")
