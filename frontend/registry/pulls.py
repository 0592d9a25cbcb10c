"""When manifests were pulled: every GET that hands one out counts, by tag or by digest; no HEAD."""

from cas.digest import Digest
from cas.verbs import View
from frontend.domain.names import parse_name
from frontend.touches import Touches
from index.changes import Touch


def new_pulls() -> Touches[str]:
    """Keys are `frontend.domain.message.Response.pulled`: "image@digest"."""
    return Touches(_find)


def _find(view: View, key: str, at: int) -> Touch | None:
    image, _, digest = key.rpartition("@")
    row = view.image(parse_name(image))
    if row is None:
        return None
    manifest = row.id + Digest.parse(digest).key
    return Touch("pulled", manifest, manifest, at)
