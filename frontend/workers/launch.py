"""What a server is started with, and what it may become without a restart."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from frontend.server.binding import Bound
from frontend.settings import Settings, SettingsError
from frontend.workers.notify import Notifier

# Sockets and the directory's lock stay with the running processes.
_FIXED: Final = (("http", "listen"), ("storage", "data"))


@dataclass(eq=False)
class SettingFixed(SettingsError):
    """A setting changed that is taken up by a restart only."""

    name: str

    def __str__(self) -> str:
        return f"{self.name} has changed: that needs a restart"


@dataclass(slots=True)
class Launch:
    """A server's beginning. `configured` is what the configuration said last."""

    configured: Settings
    load: Callable[[], Settings]  # the configuration as it is now; raises SettingsError
    handed: Bound | None = None  # sockets that were listening before us
    notifier: Notifier = field(default_factory=lambda: Notifier({}))
    is_resumed: bool = field(init=False)  # an earlier life of this very process handed them on

    def __post_init__(self) -> None:
        # Only we hand on an admin socket. Looked at now: soon there is one in any case.
        self.is_resumed = self.handed is not None and self.handed.admin is not None

    @property
    def settings(self) -> Settings:
        """The configuration, with the address that we really listen on."""
        address = None if self.handed is None or self.handed.is_own else self.handed.address
        if address is None:
            return self.configured
        host, port = address
        listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        http = msgspec.structs.replace(self.configured.http, listen=listen)
        return msgspec.structs.replace(self.configured, http=http)

    def reread(self) -> None:
        """Take up the configuration as it is now.

        Raises:
            SettingsError: it cannot be used, or not without a restart; nothing changed.
        """
        found = self.load()
        for section, key in _FIXED:
            before, now = (
                getattr(getattr(each, section), key) for each in (self.configured, found)
            )
            if before != now:
                raise SettingFixed(f"{section}.{key}")
        self.configured = found
