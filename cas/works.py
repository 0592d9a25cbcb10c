"""The working parts of an open store, as collection, scrubbing, mending and placing share them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from cas.appender import Appender
from cas.packs import Packs
from cas.pins import Pins
from cas.uploads.sessions import Sessions
from index.environment import Environment
from index.ledger import Clock
from index.writer import Writer


@dataclass(frozen=True, slots=True)
class Works:
    """One per store."""

    root: Path
    environment: Environment
    writer: Writer
    appender: Appender
    sessions: Sessions
    packs: Packs
    pins: Pins
    clock: Callable[[], Clock]
    now: Callable[[], float]  # seconds since 1970
    upload_expiry: float  # seconds
    # Held by who puts a file in a pack's place or takes it away, and by who calls one damaged.
    replacing: trio.Lock = field(default_factory=trio.Lock)
