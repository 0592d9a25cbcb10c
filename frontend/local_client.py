"""The command line's way to a server of this machine: the admin socket of its data directory."""

import http.client
import socket
from dataclasses import dataclass
from pathlib import Path

from cas.sockets import connected_path
from frontend.client import CommandFailed, HttpClient
from frontend.server.paths import ADMIN_SOCKET

__all__ = ["CommandFailed", "LocalClient"]


class _Connection(http.client.HTTPConnection):
    """HTTP on a Unix socket. No time limit: a check may take long, and a person can interrupt."""

    def __init__(self, path: Path) -> None:
        super().__init__("orlop")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        with connected_path(self._path) as short:
            self.sock.connect(short)


@dataclass(frozen=True)
class LocalClient(HttpClient):
    """Calls the server of one data directory, without a password: the kernel says who we are."""

    data: Path

    @property
    def place(self) -> str:
        """See `HttpClient`."""
        return f"the server on {self.data}"

    def _connection(self) -> http.client.HTTPConnection:
        return _Connection(self.data / ADMIN_SOCKET)

    def _trouble(self, error: Exception) -> str | None:
        match error:
            case FileNotFoundError() | NotADirectoryError() | ConnectionRefusedError():
                return (
                    f"no server runs on {self.data}: start it with "
                    f"`orlop serve --data {self.data}`, or name another directory with --data, "
                    "or a server elsewhere with --url"
                )
            # Whoever is not let in hears so while he asks, or when he reads (RemoteDisconnected).
            case PermissionError() | ConnectionResetError() | BrokenPipeError():
                return (
                    f"{self.place} listens to the user who runs it alone, and to root: "
                    "be that one, or use --url with a token"
                )
        return None
