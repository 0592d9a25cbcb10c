"""Headers and bodies that several answers share."""

from typing import Final

import msgspec

from frontend.domain.message import Request, Response
from frontend.errors import API_VERSION

# What people pushed is never run by a browser, whatever media type they gave it.
INERT: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; sandbox"),
    ("Content-Disposition", "attachment"),
)
JSON: Final = "application/json"


def json_response(
    request: Request,
    value: object,
    *headers: tuple[str, str],
    media_type: str = JSON,
) -> Response:
    """Answer 200 with `value` as JSON, or with those bytes of JSON."""
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    fixed = (
        API_VERSION,
        ("Content-Type", media_type),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
    )
    return Response(200, (*fixed, *headers), () if request.method == "HEAD" else (body,))
