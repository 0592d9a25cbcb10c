"""`orlop package`: tags of images, and manifests that have none."""

from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from cyclopts import App, Parameter

from frontend.commands.common import AsJson, Misuse, show
from frontend.commands.names import RepositoryName, package_text, parse_package, repository_path
from frontend.commands.server import HERE, Server
from frontend.commands.tables import Column, show_items

app = App(name="package")

Image = Annotated[str | None, Parameter(help="Of one image alone: its name in the repository.")]
Query = Annotated[str | None, Parameter(help="Those that have this text in IMAGE:TAG.")]
Sort = Annotated[Literal["name", "pushed_at", "size"], Parameter(help="By what.")]
Reverse = Annotated[bool, Parameter(negative="", help="The last, the newest, the largest first.")]
Package = Annotated[
    str,
    Parameter(required=True, help="IMAGE:TAG, or IMAGE@DIGEST for a manifest with all its tags."),
]

COLUMNS = (
    Column("package", package_text),
    Column("digest", "digest"),
    Column("size", "size", is_size=True),
    Column("platforms", "platforms"),
    Column("pushed", "pushed_at"),
    Column("by", "pushed_by"),
    Column("pulled", "pulled_at"),
)

_AT_ONCE: Final = 100  # packages in a call: what a server reads of it is bounded
_OUTCOMES: Final = ("deleted", "missing", "rejected")


@app.command(name="list")
def list_all(
    repository: RepositoryName,
    *,
    image: Image = None,
    query: Query = None,
    sort: Sort = "name",
    reverse: Reverse = False,
    json: AsJson = False,
    server: Server = HERE,
) -> None:
    """List what is in a repository."""
    said = {"image": image, "q": query, "sort": sort, "order": "desc" if reverse else "asc"}
    asked = urlencode({name: value for name, value in said.items() if value is not None})
    items = server.items(f"{repository_path(repository, 'packages')}?{asked}")
    show_items(items, COLUMNS, as_json=json)


@app.command(name="delete")
def delete(
    repository: RepositoryName,
    /,
    *package: Package,
    json: AsJson = False,
    server: Server = HERE,
) -> None:
    """Delete packages: a tag goes with what nothing else needs. Fails when one is not deleted."""
    try:
        items = [parse_package(each) for each in package]
    except ValueError as error:
        raise Misuse(str(error)) from None
    outcome: dict[str, list[dict[str, Any]]] = {name: [] for name in _OUTCOMES}
    for start in range(0, len(items), _AT_ONCE):
        body = {"items": items[start : start + _AT_ONCE]}
        found = server.call("DELETE", repository_path(repository, "packages"), body)
        for name in _OUTCOMES:
            outcome[name] += found[name]
    show(outcome, "\n".join(_lines(outcome)), as_json=json)
    if outcome["missing"] or outcome["rejected"]:
        raise SystemExit(1)


def _lines(outcome: dict[str, list[dict[str, Any]]]) -> list[str]:
    return [
        f"{name} {package_text(each)}" + (f": {each['reason']}" if "reason" in each else "")
        for name, found in outcome.items()
        for each in found
    ]
