"""When manifests were pulled: every GET that hands one out counts, by tag or by digest; no HEAD.

Of a repository from which images go by these times they are exact to the minute, else to the hour.
"""

from typing import Final

from cas.digest import Digest
from cas.verbs import View
from frontend.domain.names import parse_name
from frontend.touches import Touches
from index.changes import Touch

HOUR: Final = 3600


def new_pulls() -> Touches[str]:
    """Keys are `frontend.domain.message.Response.pulled`: "image@digest"."""
    return Touches(_find)


def _find(view: View, key: str, at: int) -> Touch | None:
    image, _, digest = key.rpartition("@")
    name = parse_name(image)
    row, record = view.image(name), view.repository(name.repository)
    if row is None or record is None:
        return None
    manifest = row.id + Digest.parse(digest).key
    is_limited = record.source is not None and record.source.max_bytes > 0
    return Touch("pulled", manifest, manifest, at, every=1 if is_limited else HOUR)
