"""Listening sockets: bound by us or handed to us, and kept while processes come and go.

`<data>/run/admin.sock`   the admin socket (folder 0700): same application, principal `admin`

Knows neither trio nor HTTP: the supervisor binds for its workers.
"""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cas.sockets import connected_path
from frontend.server.paths import ADMIN_SOCKET
from frontend.settings import listen_address

_BACKLOG: Final = 1024
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)


class Bound:
    """The listening sockets of one server. `is_own`: bound for `http.listen`, not handed to us."""

    def __init__(
        self,
        public: Sequence[socket.socket],
        admin: socket.socket | None = None,
        *,
        is_own: bool = True,
    ) -> None:
        self.public = tuple(public)
        self.admin = admin
        self.is_own = is_own
        self._admin_path: Path | None = None  # ours to remove

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of the first one that has any; a Unix socket has none."""
        for each in self.public:
            if each.family in _INTERNET:
                host, port, *_ = each.getsockname()
                return host, port
        return None

    @property
    def port(self) -> int:
        """The port that was bound, when 0 was asked for; 0 if none was."""
        return 0 if self.address is None else self.address[1]

    def open_admin(self, data: Path) -> None:
        """Bind the admin socket unless it was handed to us; call it while you hold `data`."""
        path = data / ADMIN_SOCKET
        if self.admin is None:
            self.admin = bind_private(path)
        self._admin_path = path

    def keep(self) -> "Bound":
        """Duplicates for the next process: this one's may be closed, and nobody is refused."""
        admin = None if self.admin is None else self.admin.dup()
        kept = Bound([each.dup() for each in self.public], admin, is_own=self.is_own)
        kept._admin_path, self._admin_path = self._admin_path, None
        return kept

    def close(self) -> None:
        """Stop listening, unless duplicates were kept; a second close does nothing."""
        for each in (*self.public, self.admin):
            if each is not None:
                each.close()
        if self._admin_path is not None:
            self._admin_path.unlink(missing_ok=True)
            self._admin_path = None


@contextmanager
def open_bound(listen: str, handed: Bound | None = None) -> Iterator[Bound]:
    """Listen on `listen`, or on what was `handed` to us, for a block.

    Raises:
        OSError: the address is in use, or may not be bound; says which.
    """
    bound = Bound([_bind_public(listen)]) if handed is None else handed
    try:
        yield bound
    finally:
        bound.close()


def _bind_public(listen: str) -> socket.socket:
    host, port = listen_address(listen)
    with contextlib.ExitStack() as undo:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            bound = undo.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(_BACKLOG)
        except OSError as error:
            raise OSError(error.errno, f"{listen}: {error.strerror}") from error
        undo.pop_all()
    return bound


def bind_private(path: Path) -> socket.socket:
    """Listen on a Unix socket in a folder that is ours alone.

    Raises:
        OSError: the folder cannot be made or used.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.parent.chmod(0o700)
    path.unlink(missing_ok=True)  # a killed server's: whoever calls us holds the directory's lock
    with contextlib.ExitStack() as undo:
        bound = undo.enter_context(socket.socket(socket.AF_UNIX))
        with connected_path(path) as short:
            bound.bind(short)
        bound.listen(_BACKLOG)
        undo.pop_all()
    return bound
