"""`orlop storage`: named places for repositories."""

from typing import Annotated

from cyclopts import App, Parameter

from frontend.commands.common import AsJson, show
from frontend.commands.names import call_path
from frontend.commands.server import HERE, Server
from frontend.commands.tables import Column, show_items

app = App(name="storage")

StorageName = Annotated[str, Parameter(help="The first part of the names of its images.")]


@app.command(name="list")
def list_all(*, json: AsJson = False, server: Server = HERE) -> None:
    """List all storages."""
    columns = (Column("name", "name"), Column("created", "created_at"))
    show_items(server.items(call_path("storages")), columns, as_json=json)


@app.command(name="create")
def create(name: StorageName, *, json: AsJson = False, server: Server = HERE) -> None:
    """Create a storage."""
    made = server.call("POST", call_path("storages"), {"name": name})
    show(made, f"created storage {name}", as_json=json)


@app.command(name="delete")
def delete(name: StorageName, *, json: AsJson = False, server: Server = HERE) -> None:
    """Delete a storage that has no repositories."""
    server.call("DELETE", call_path("storages", name))
    show({"deleted": name}, f"deleted storage {name}", as_json=json)
