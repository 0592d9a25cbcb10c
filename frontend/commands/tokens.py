"""`orlop token`: access tokens, for programs in place of a password."""

import sys
from typing import Annotated, Any
from urllib.parse import urlencode

from cyclopts import App, Parameter

from frontend.commands.common import AsJson, show, write
from frontend.commands.names import (
    Expires,
    Scopes,
    call_path,
    parse_scope,
    parse_seconds,
    scope_text,
)
from frontend.commands.server import HERE, Server
from frontend.commands.tables import Column, show_items

app = App(name="token")

TokenName = Annotated[str, Parameter(help="What it is for, to know it again.")]
User = Annotated[str | None, Parameter(help="Whose: administrators may name anybody.")]
TokenId = Annotated[str, Parameter(help="As `orlop token list` shows it.")]

COLUMNS = (
    Column("id", "id"),
    Column("name", "name"),
    Column("user", "username"),
    Column("expires", "expires_at"),
    Column("last used", "last_used_at"),
    Column("scopes", lambda each: [scope_text(scope) for scope in each["scopes"] or ()]),
)


@app.command(name="list")
def list_all(*, user: User = None, json: AsJson = False, server: Server = HERE) -> None:
    """List access tokens; what they are was shown when they were made."""
    query = "" if user is None else "?" + urlencode({"username": user})
    show_items(server.items(call_path("tokens") + query), COLUMNS, as_json=json)


@app.command(name="create")
def create(
    name: TokenName,
    *,
    user: User = None,
    expires: Expires = None,
    scope: Scopes = (),
    json: AsJson = False,
    server: Server = HERE,
) -> None:
    """Make an access token, and show it this once.

    It is a password of `docker login` for any name, and what --token and ORLOP_TOKEN take. Into a
    pipe or a file the token comes alone.
    """
    body: dict[str, Any] = {"name": name}
    if user is not None:
        body["username"] = user
    if expires is not None:
        body["expires_in_seconds"] = parse_seconds(expires)
    if scope:
        body["scopes"] = [parse_scope(each) for each in scope]
    made = server.call("POST", call_path("tokens"), body)
    if json or sys.stdout.isatty():
        show(made, _words(made), as_json=json)
    else:
        write(made["token"])


@app.command(name="revoke")
def revoke(token_id: TokenId, /, *, json: AsJson = False, server: Server = HERE) -> None:
    """Revoke an access token: the next request with it is refused."""
    server.call("DELETE", call_path("tokens", token_id))
    show({"revoked": token_id}, f"revoked token {token_id}", as_json=json)


def _words(made: dict[str, Any]) -> str:
    until = f"until {made['expires_at']}" if made["expires_at"] else "until it is revoked"
    return (
        f"created token {made['name']} of {made['username']}, valid {until}\n\n"
        f"    {made['token']}\n\nThis token is not shown again."
    )
