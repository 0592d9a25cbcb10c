"""`orlop repository`: where images are pushed to."""

from typing import Annotated, Any

from cyclopts import App, Parameter

from frontend.commands.common import AsJson, Misuse, show
from frontend.commands.names import Quota, RepositoryName, call_path, parse_size, repository_path
from frontend.commands.server import HERE, Server
from frontend.commands.tables import Column, show_fields, show_items
from frontend.commands.upstreams import NO_UPSTREAM, UpstreamAsked

app = App(name="repository")

Public = Annotated[bool, Parameter(negative="", help="Let anyone pull from it.")]
Visible = Annotated[
    bool | None,
    Parameter(name="--public", negative="--private", help="Let anyone pull from it, or not."),
]
Description = Annotated[str | None, Parameter(help="What it is for, in words.")]
Immutable = Annotated[
    tuple[str, ...],
    Parameter(
        name="--immutable",
        negative="",
        show_default=False,
        help="Tags that are never moved or deleted once they are there, as a pattern: 'v*'. "
        "Once or several times.",
    ),
]
Mutable = Annotated[bool, Parameter(negative="", help="No tag is immutable any more.")]
Force = Annotated[bool, Parameter(negative="", help="Also when images are in it: they go too.")]

COLUMNS = (
    Column("repository", lambda each: f"{each['storage']}/{each['name']}"),
    Column("visibility", "visibility"),
    Column("proxy of", lambda each: (each.get("upstream") or {}).get("url")),
    Column("created", "created_at"),
    Column("description", "description"),
)


@app.command(name="list")
def list_all(*, json: AsJson = False, server: Server = HERE) -> None:
    """List the repositories that you may pull from."""
    show_items(server.items(call_path("repositories")), COLUMNS, as_json=json)


@app.command(name="create")
def create(
    name: RepositoryName,
    *,
    public: Public = False,
    description: Description = None,
    immutable: Immutable = (),
    quota: Quota = None,
    upstream: UpstreamAsked = NO_UPSTREAM,
    json: AsJson = False,
    server: Server = HERE,
) -> None:
    """Create a repository for images; with --proxy, of another registry's."""
    storage, _, own = name.partition("/")
    visibility = "public" if public else "private"
    body = {"storage": storage, "name": own, "visibility": visibility}
    more = _settings(description, immutable, quota) | upstream.new(name)
    made = server.call("POST", call_path("repositories"), body | more)
    show(made, f"created {visibility} repository {name}", as_json=json)


@app.command(name="show")
def show_one(name: RepositoryName, *, json: AsJson = False, server: Server = HERE) -> None:
    """Show a repository's settings, and what it holds."""
    show_fields(server.call("GET", repository_path(name)), as_json=json)


@app.command(name="update")
def update(
    name: RepositoryName,
    *,
    public: Visible = None,
    description: Description = None,
    immutable: Immutable = (),
    mutable: Mutable = False,
    quota: Quota = None,
    upstream: UpstreamAsked = NO_UPSTREAM,
    json: AsJson = False,
    server: Server = HERE,
) -> None:
    """Change settings of a repository; those that are not named stay."""
    if mutable and immutable:
        raise Misuse("--immutable and --mutable: choose one of them")
    body = _settings(description, immutable, quota) | upstream.change(name)
    if mutable:
        body["immutable_tags"] = []
    if public is not None:
        body["visibility"] = "public" if public else "private"
    if not body:
        raise Misuse("nothing to change was named: see `orlop repository update --help`")
    show(
        server.call("PATCH", repository_path(name), body),
        f"updated repository {name}",
        as_json=json,
    )


@app.command(name="delete")
def delete(
    name: RepositoryName, *, force: Force = False, json: AsJson = False, server: Server = HERE
) -> None:
    """Delete a repository that holds no images."""
    server.call("DELETE", repository_path(name) + ("?force=true" if force else ""))
    show({"deleted": name}, f"deleted repository {name}", as_json=json)


def _settings(
    description: str | None, immutable: tuple[str, ...], quota: str | None
) -> dict[str, Any]:
    said = {
        "description": description,
        "immutable_tags": list(immutable) or None,
        "quota_bytes": None if quota is None else parse_size(quota),
    }
    return {name: value for name, value in said.items() if value is not None}
