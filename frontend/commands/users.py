"""`orlop user`: accounts."""

import sys
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from frontend.commands.common import AsJson, show, write
from frontend.commands.names import UserName, call_path
from frontend.commands.passwords import new_password
from frontend.commands.server import HERE, Server
from frontend.commands.tables import Column, show_fields, show_items

app = App(name="user")

Admin = Annotated[bool, Parameter(negative="", help="May do everything.")]
Stdin = Annotated[
    bool, Parameter(name="--password-stdin", negative="", help="Read it from standard input.")
]
Generate = Annotated[
    bool, Parameter(negative="", help="Have a password made, and show it this once.")
]
Role = Annotated[Literal["admin", "user"], Parameter(help="What the user is to be.")]

COLUMNS = (
    Column("user", "username"),
    Column("role", "role"),
    Column("disabled", "disabled"),
    Column("created", "created_at"),
)


@app.command(name="list")
def list_all(*, json: AsJson = False, server: Server = HERE) -> None:
    """List all users."""
    show_items(server.items(call_path("users")), COLUMNS, as_json=json)


@app.command(name="create")
def create(
    name: UserName,
    *,
    admin: Admin = False,
    password_stdin: Stdin = False,
    generate: Generate = False,
    json: AsJson = False,
    server: Server = HERE,
) -> None:
    """Create a user; the password is asked for, twice."""
    password = new_password(name, is_stdin=password_stdin, is_made=generate)
    body = {"username": name, "password": password, "role": "admin" if admin else "user"}
    made = server.call("POST", call_path("users"), body)
    _show(made, f"created user {name}", password if generate else "", as_json=json)


@app.command(name="show")
def show_one(name: UserName, *, json: AsJson = False, server: Server = HERE) -> None:
    """Show a user."""
    show_fields(server.call("GET", call_path("users", name)), as_json=json)


@app.command(name="delete")
def delete(name: UserName, *, json: AsJson = False, server: Server = HERE) -> None:
    """Delete a user, with all grants, tokens and sessions."""
    server.call("DELETE", call_path("users", name))
    show({"deleted": name}, f"deleted user {name}", as_json=json)


@app.command(name="enable")
def enable(name: UserName, *, json: AsJson = False, server: Server = HERE) -> None:
    """Let a user that was disabled in again."""
    found = server.call("PATCH", call_path("users", name), {"disabled": False})
    show(found, f"enabled user {name}", as_json=json)


@app.command(name="disable")
def disable(name: UserName, *, json: AsJson = False, server: Server = HERE) -> None:
    """Refuse a user, and all tokens and sessions, from the next request on."""
    found = server.call("PATCH", call_path("users", name), {"disabled": True})
    show(found, f"disabled user {name}", as_json=json)


@app.command(name="role")
def role(name: UserName, role: Role, *, json: AsJson = False, server: Server = HERE) -> None:
    """Make a user an administrator, or no longer one."""
    found = server.call("PATCH", call_path("users", name), {"role": role})
    show(found, f"user {name} has the role {role}", as_json=json)


@app.command(name="password")
def change_password(
    name: UserName,
    *,
    password_stdin: Stdin = False,
    generate: Generate = False,
    json: AsJson = False,
    server: Server = HERE,
) -> None:
    """Change a user's password; the new one is asked for, twice.

    Sessions and logins of clients end with the old one. With --login your own can be changed.
    """
    is_own = server.login is not None and server.login.casefold() == name.casefold()
    known = {"current_password": server.password} if is_own else {}
    password = new_password(name, is_stdin=password_stdin, is_made=generate)
    server.call("PUT", call_path("users", name, "password"), {"password": password} | known)
    said = {"username": name}
    _show(said, f"changed the password of {name}", password if generate else "", as_json=json)


def _show(said: dict[str, Any], words: str, password: str, *, as_json: bool) -> None:
    """Say it; a password that was made is shown, where nothing else comes out of a pipe."""
    if not password:
        show(said, words, as_json=as_json)
    elif as_json or sys.stdout.isatty():
        shown = f"{words}\n\n    {password}\n\nThis password is not shown again."
        show(said | {"password": password}, shown, as_json=as_json)
    else:
        write(password)
