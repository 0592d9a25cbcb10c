"""`orlop journal`: who did what, as it happens."""

import json as json_text
import sys
from time import sleep
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from cyclopts import Parameter
from cyclopts.validators import Number

from frontend.commands.common import AsJson, write
from frontend.commands.names import check_optional_repository
from frontend.commands.server import HERE, Server
from frontend.commands.tables import Column, row_text, show_items

Follow = Annotated[bool, Parameter(negative="", help="Go on with what happens from now on.")]
Lines = Annotated[int, Parameter(validator=Number(gte=0), help="Entries, the last ones.")]
Place = Annotated[
    str | None,
    Parameter(
        validator=check_optional_repository, help="About this repository alone: STORAGE/NAME."
    ),
]
Actor = Annotated[str | None, Parameter(help="What this user did.")]
Action = Annotated[str | None, Parameter(help="What was done: user.create, or user for all of it.")]

COLUMNS = (
    Column("time", "time"),
    Column("who", "actor"),
    Column("action", "action"),
    Column("what", "target"),
    Column("from", "address"),
    Column("by", "via"),
    Column("more", "detail"),
)

_PAGE: Final = 1000  # the most that a server gives at once
_REST: Final = 1.0  # seconds between two looks


def journal(
    *,
    follow: Follow = False,
    lines: Lines = 100,
    repository: Place = None,
    actor: Actor = None,
    action: Action = None,
    json: AsJson = False,
    server: Server = HERE,
) -> None:
    """Show who did what, the newest last."""
    said = {"repository": repository, "actor": actor, "action": action}
    asked = {name: value for name, value in said.items() if value is not None}
    newest, items = _last(server, asked, lines)
    if not follow:
        show_items(items, COLUMNS, as_json=json)
        return
    while True:
        for each in items:
            write(json_text.dumps(each) if json else row_text(each, COLUMNS))
        sys.stdout.flush()
        items, newest = _since(server, asked, newest)
        if not items:
            sleep(_REST)  # nobody else waits in this process


def _last(server: Server, asked: dict[str, str], lines: int) -> tuple[int, list[Any]]:
    """The number of the newest entry of all, and the last ones asked for, the oldest first."""
    place = {name: value for name, value in asked.items() if name == "repository"}
    newest = max((each["number"] for each in _page(server, place, per_page=1)["items"]), default=0)
    items: list[Any] = []
    before: int | None = newest + 1
    while before is not None and len(items) < lines:
        size = min(lines - len(items), _PAGE)
        found = _page(server, asked, per_page=size, before=before)
        items += found["items"]
        before = found["next"]
    return newest, items[::-1]


def _since(server: Server, asked: dict[str, str], number: int) -> tuple[list[Any], int]:
    """What has happened since an entry, and up to where that was looked for."""
    found = _page(server, asked, per_page=_PAGE, after=number)
    return found["items"], found["next"] or number


def _page(server: Server, asked: dict[str, str], **bounds: int) -> Any:  # noqa: ANN401 - JSON
    return server.call("GET", "/api/v1/journal?" + urlencode(asked | bounds))
