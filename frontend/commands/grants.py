"""`orlop grant`: what users may do in a repository."""

from typing import Annotated, Literal

from cyclopts import App, Parameter

from frontend.commands.common import AsJson, show
from frontend.commands.names import RepositoryName, repository_path
from frontend.commands.server import HERE, Server
from frontend.commands.tables import Column, show_items

app = App(name="grant")

Grantee = Annotated[str, Parameter(help="The user's name.")]
Role = Annotated[
    Literal["reader", "writer", "admin"],
    Parameter(help="reader: pull; writer: pull and push; admin: delete, and grant, too."),
]


@app.command(name="list")
def list_all(repository: RepositoryName, *, json: AsJson = False, server: Server = HERE) -> None:
    """List who may do what in a repository."""
    columns = (Column("user", "username"), Column("role", "role"))
    show_items(server.items(repository_path(repository, "grants")), columns, as_json=json)


@app.command(name="set")
def put(
    repository: RepositoryName,
    user: Grantee,
    role: Role,
    *,
    json: AsJson = False,
    server: Server = HERE,
) -> None:
    """Give a user a role in a repository, instead of the one before."""
    made = server.call("PUT", repository_path(repository, "grants", user), {"role": role})
    show(made, f"{user} is {role} of {repository}", as_json=json)


@app.command(name="remove")
def remove(
    repository: RepositoryName, user: Grantee, *, json: AsJson = False, server: Server = HERE
) -> None:
    """Take a user's role in a repository away."""
    server.call("DELETE", repository_path(repository, "grants", user))
    show({"removed": user}, f"{user} has no role in {repository}", as_json=json)
