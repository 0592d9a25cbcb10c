"""What a server says when it is up: its address, the password it made, and lines to be copied."""

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from frontend.settings import Settings, listen_address

PASSWORD_VARIABLE: Final = "ORLOP_ADMIN_PASSWORD"  # noqa: S105 - a variable's name
_ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True)
class FirstStart:
    """What was created. `password` is None when the person chose it, `file` None on a terminal."""

    password: str | None = field(default=None, repr=False)
    file: Path | None = None


def public_url(settings: Settings, port: int) -> str:
    """Where clients find us. Never from a request's Host, which is a stranger's text."""
    if settings.http.public_url:
        return settings.http.public_url.rstrip("/")
    host, _ = listen_address(settings.http.listen)
    if host in _ANY_ADDRESS:
        host = socket.gethostname()
    scheme = "https" if settings.http.tls_certificate else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def greeting(url: str, first: FirstStart | None) -> str:
    """What to do next, to be copied."""
    host = url.partition("://")[2]
    lines = [
        f"Orlop serves {url}",
        "",
        *_password_lines(first),
        f"In a browser: {url}/",
        "With docker:",
        f"  docker login -u admin {host}",
        f"  docker tag IMAGE {host}/local/images/IMAGE",
        f"  docker push {host}/local/images/IMAGE",
        "",
        "",
    ]
    return os.linesep.join(lines)


def password_words(first: FirstStart | None) -> str:
    """Where the new password is, when there will be no greeting."""
    return os.linesep.join(_password_lines(first))


def _password_lines(first: FirstStart | None) -> list[str]:
    if first is not None and first.file is not None:
        return [f"The password of admin is in {first.file}", ""]
    if first is not None and first.password is not None:
        return [f"The password of admin, shown this once: {first.password}", ""]
    return []
