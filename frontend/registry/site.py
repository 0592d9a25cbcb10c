"""What answering a read needs to know of the configuration."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from frontend.domain.message import Realm


def _now() -> int:
    return int(time.time())


@dataclass(frozen=True, slots=True)
class Site:
    """Made once from the settings; `now` is seconds since 1970."""

    realm: Realm
    grace_seconds: int = 3600
    lease_seconds: int = 3600
    now: Callable[[], int] = _now
