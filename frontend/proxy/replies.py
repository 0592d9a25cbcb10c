"""Answers that say how good they are."""

from dataclasses import replace
from typing import Final

from cas.digest import Digest
from frontend.domain.conditions import etag
from frontend.domain.message import Response
from frontend.errors import API_VERSION

OCTETS: Final = ("Content-Type", "application/octet-stream")
_MOST: Final = 300  # characters; a client joins all warnings to at most 4096 bytes


def with_warning(response: Response, text: str) -> Response:
    """The answer with a Warning, for this moment only.

    Source: distribution-spec, "Warnings": code 299, agent `-`, no date.
    """
    plain = "".join(each for each in text if each.isascii() and each.isprintable())
    said = plain[:_MOST].replace("\\", " ").replace('"', "'")
    return replace(response, headers=(*response.headers, ("Warning", f'299 - "{said}"')), lasts=0.0)


def named(digest: Digest) -> tuple[tuple[str, str], ...]:
    """The headers of whatever has a digest."""
    return (
        API_VERSION,
        ("Docker-Content-Digest", str(digest)),
        ("ETag", etag(digest)),
        ("Cache-Control", "max-age=31536000, immutable"),
        ("Accept-Ranges", "bytes"),
    )
