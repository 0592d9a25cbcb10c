"""Where pages lie, and which addresses may be followed. Pure.

/                                          repositories
/r/<storage>/<name>                        one, with the images that lie at its top
/r/<storage>/<name>/team/                  what lies below `team`: the slash at the end says so
/r/<storage>/<name>/team/app               the image `team/app`
/r/<storage>/<name>/team/app:v1            a manifest by its tag, as one pulls it
/r/<storage>/<name>/team/app@sha256:…      and by its digest
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

_MAX: Final = 2000  # characters of an address to return to
# No backslash, which browsers take for a slash, and nothing that ends a header or is invisible.
_LOCAL: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*")


def local_path(text: str, otherwise: str = "/") -> str:
    """`text` if it leads to a page of ours whatever a browser makes of it, or else `otherwise`."""
    return text if len(text) <= _MAX and _LOCAL.fullmatch(text) else otherwise


def repository_link(storage: str, name: str) -> str:
    """A repository's page."""
    return f"/r/{_quoted(storage)}/{_quoted(name)}"


def folder_link(repository: str, folder: str) -> str:
    """What lies below a path, in the repository `storage/name`; an empty one is the top."""
    return f"/r/{_quoted(repository)}/{_quoted(folder)}/" if folder else f"/r/{_quoted(repository)}"


def image_link(repository: str, image: str) -> str:
    """An image's page."""
    return f"/r/{_quoted(repository)}/{_quoted(image)}"


def manifest_link(repository: str, image: str, tag: str | None, digest: str) -> str:
    """The page of a tag; or, without one, of a digest."""
    reference = f"@{_quoted(digest)}" if tag is None else f":{_quoted(tag)}"
    return image_link(repository, image) + reference


def query_link(path: str, said: Mapping[str, Any]) -> str:
    """`path` with a query of what is not empty."""
    pairs = [(name, value) for name, value in said.items() if value not in (None, "")]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def sign_in_link(back: str) -> str:
    """Where to sign in, and come back from."""
    return query_link("/sign-in", {"next": back if back != "/" else ""})


def _quoted(text: str) -> str:
    return quote(text, safe="/:")
