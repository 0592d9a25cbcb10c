"""`orlop search`: images, tags and digests in all that one may pull."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from cyclopts import Parameter

from frontend.commands.common import AsJson
from frontend.commands.names import package_text
from frontend.commands.server import HERE, Server
from frontend.commands.tables import Column, show_items


def _name(item: Mapping[str, Any]) -> str:
    return f"{item['repository']}/{package_text(item)}"


COLUMNS = (
    Column("found", "kind"),
    Column("name", _name),
    Column("digest", "digest"),
    Column("size", "size", is_size=True),
    Column("pushed", "pushed_at"),
)

Terms = Annotated[
    str,
    Parameter(
        required=True,
        help="Parts of a name or a tag, 6 and more digits of a digest, or FIELD:VALUE with "
        "repository, storage, image, tag, digest or type; all of them have to hold.",
    ),
]


def search(*query: Terms, json: AsJson = False, server: Server = HERE) -> None:
    """Find images, tags and digests in all that you may pull."""
    items = server.items("/api/v1/search?" + urlencode({"q": " ".join(query)}))
    show_items(items, COLUMNS, as_json=json)
