"""Listening sockets out of another process's hands: systemd's, or this server's before a reload.

Source: sd_listen_fds(3). `LISTEN_PID` is ours, `LISTEN_FDS` sockets begin at descriptor 3, and
`LISTEN_FDNAMES` names them. The names we give are our own; all others are systemd's business.
"""

import fcntl
import os
import socket
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from frontend.server.binding import Bound

FIRST: Final = 3  # SD_LISTEN_FDS_START
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_LISTEN, _HANDED, _ADMIN = "orlop-listen", "orlop-handed", "orlop-admin"
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


@dataclass(eq=False)
class SocketRefused(Exception):
    """What was handed to us is nothing to listen on."""

    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what} (from LISTEN_FDS) {self.reason}"


def take_sockets(environment: MutableMapping[str, str], first: int = FIRST) -> Bound | None:
    """What was handed to this process; None when nothing was. The variables are removed.

    Raises:
        SocketRefused: something else than sockets that listen for streams.
    """
    pid, count, names = (environment.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()):
        return None
    if not count.isdecimal():
        raise SocketRefused(repr(count), "is no number")
    if not int(count):
        return None
    numbers = range(first, first + int(count))
    named = dict(zip(numbers, names.split(":"), strict=False))
    found = {number: _checked(number) for number in numbers}
    admin = [found.pop(number) for number in numbers if named.get(number) == _ADMIN]
    is_own = all(named.get(number) == _LISTEN for number in found)
    return Bound(list(found.values()), admin[0] if admin else None, is_own=is_own)


def replace_process(
    bound: Bound, command: Sequence[str], environment: MutableMapping[str, str]
) -> NoReturn:
    """Run `command` in place of this process, on the sockets that it `bound`.

    Raises:
        OSError: it cannot be run.
    """
    name = _LISTEN if bound.is_own else _HANDED
    pairs = [(each, name) for each in bound.public]
    if bound.admin is not None:
        pairs.append((bound.admin, _ADMIN))
    beyond = FIRST + len(pairs)
    # Out of the way first: one of them may have the number that another is to get.
    aside = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, beyond) for each, _ in pairs]
    for number, descriptor in enumerate(aside, FIRST):
        os.dup2(descriptor, number)
    environment["LISTEN_PID"] = str(os.getpid())
    environment["LISTEN_FDS"] = str(len(pairs))
    environment["LISTEN_FDNAMES"] = ":".join(each for _, each in pairs)
    os.execve(command[0], list(command), dict(environment))  # noqa: S606 - ourselves, without a shell


def _checked(number: int) -> socket.socket:
    what = f"descriptor {number}"
    try:
        os.set_inheritable(number, False)
        found = socket.socket(fileno=number)
    except OSError as error:
        raise SocketRefused(what, f"is no socket: {error.strerror}") from None
    reason = ""
    if found.family not in _FAMILIES or found.type != socket.SOCK_STREAM:
        reason = "is no stream socket"
    elif not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        reason = "does not listen"
    if reason:
        found.close()
        raise SocketRefused(what, reason)
    return found
