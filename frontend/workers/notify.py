"""Telling a service manager how far we are, by datagrams. Source: sd_notify(3)."""

import logging
import os
import socket
import time
from collections.abc import Mapping

VARIABLE = "NOTIFY_SOCKET"

_log = logging.getLogger("orlop.notify")


class Notifier:
    """Speaks to the socket that `NOTIFY_SOCKET` names; silent when there is none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get(VARIABLE, "")

    def ready(self, status: str) -> None:
        """Connections are accepted; also after a reload."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A new configuration is being taken up. The time is what `Type=notify-reload` asks for."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reloading")

    def stopping(self) -> None:
        """Nothing more is accepted; requests under way are ended in order."""
        self._send("STOPPING=1", "STATUS=draining")

    def status(self, text: str) -> None:
        """Say how things are, for a person."""
        self._send(f"STATUS={text}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # A name that begins with @ is in the abstract namespace, where a NUL stands for it.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)  # a manager that does not read must not hold us up
                sender.sendto("\n".join(lines).encode(), os.fsencode(address))
        except OSError as error:
            _log.warning("%s could not be told: %s", self._address, error)
