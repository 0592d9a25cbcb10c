"""`orlop stats`: what is stored."""

from typing import Any

from frontend.commands.common import AsJson, show
from frontend.commands.server import HERE, Server


def stats(*, json: AsJson = False, server: Server = HERE) -> None:
    """Show what is stored, and what is saved by storing it once."""
    found = server.call("GET", "/api/v1/stats")
    show(found, "\n".join(_lines(found)), as_json=json)


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"{name}  {each}" for name, each in found.items() if not isinstance(each, list)]
    repositories = (
        f"{each['name']}: {each['images']} images, {each['manifests']} manifests, "
        f"{each['linked']} bytes"
        for each in found["repositories"]
    )
    return [*lines, *repositories]
