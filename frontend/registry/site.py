"""What answering a read needs to know of the configuration."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from frontend.domain.message import Realm


def _now() -> int:
    return int(time.time())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Site:
    """Made once from the settings; `now` is seconds since 1970, `now_ms` milliseconds."""

    realm: Realm
    grace_seconds: int = 3600
    lease_seconds: int = 3600
    now: Callable[[], int] = _now
    now_ms: Callable[[], int] = _now_ms
