"""Answers that say how good they are."""

from dataclasses import replace
from typing import Final

from frontend.domain.message import Response

_MOST: Final = 300  # characters; a client joins all warnings to at most 4096 bytes


def with_warning(response: Response, text: str) -> Response:
    """The answer with a Warning, for this moment only.

    Source: distribution-spec, "Warnings": code 299, agent `-`, no date.
    """
    plain = "".join(each for each in text if each.isascii() and each.isprintable())
    said = plain[:_MOST].replace("\\", " ").replace('"', "'")
    return replace(response, headers=(*response.headers, ("Warning", f'299 - "{said}"')), lasts=0.0)
