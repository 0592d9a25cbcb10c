"""JSON in and out of the management API: bodies, pages, numbers and times."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
from quart import Response, request

from frontend.domain.faults import RequestInvalid

MAX_PER_PAGE: Final = 1000
PER_PAGE: Final = 100

T = TypeVar("T")


async def body(kind: type[T]) -> T:
    """The request's body as a `kind`.

    Raises:
        RequestInvalid: says what is not as expected.
    """
    content = await request.get_data(as_text=False)
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestInvalid(f"the body is not as expected: {error}") from None


def page(items: Sequence[dict[str, Any]]) -> Response:
    """The page of `items` that the query asks for.

    Raises:
        RequestInvalid: `page` or `per_page` is no number.
    """
    which, size = number("page", 1, 1 << 31), number("per_page", PER_PAGE, MAX_PER_PAGE)
    start = (which - 1) * size
    found = items[start : start + size]
    return json({"page": which, "per_page": size, "total": len(items), "items": found})


def number(name: str, default: int, limit: int) -> int:
    """A parameter of the query from 1 to `limit`; more is cut to it.

    Raises:
        RequestInvalid: it is none.
    """
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) < 1:
        raise RequestInvalid(f"{name} must be a number from 1")
    return min(int(text), limit)


def json(value: object, status: int = 200) -> Response:
    """An answer of JSON."""
    return Response(msgspec.json.encode(value), status, content_type="application/json")


def time_text(seconds: float) -> str:
    """RFC 3339, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
