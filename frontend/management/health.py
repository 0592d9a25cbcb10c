"""How a proxy repository is doing: its source, and what it saves; over all worker processes."""

import time
from typing import Literal

import msgspec

from frontend.figures.layout import SourceState
from frontend.figures.reading import Proxied
from frontend.management.replies import time_text
from index.records import Repository

State = Literal["unknown", "ok", "failing", "trying", "resting", "offline"]
_STATES: dict[str, State] = {
    "closed": "ok",
    "failing": "failing",
    "half-open": "trying",
    "open": "resting",
}


class RateShown(msgspec.Struct, frozen=True):
    """What the upstream said last of how often it may be asked, within `window_seconds`."""

    limit: int | None
    remaining: int | None
    window_seconds: int | None


class HealthShown(msgspec.Struct, frozen=True, kw_only=True):
    """How the upstream of a proxy repository is doing, and what the repository saves.

    `state`: `unknown` until it was asked; `ok`; `failing`: the last request failed; `resting`: too
    many did, and it is not asked for `retry_in_seconds`; `trying`: one request finds out whether it
    is well again; `offline`: it is configured not to be asked. `last_error` is for those who
    administer the repository.

    Counts only rise. A hit is a read of a manifest or a blob that was answered at once with what
    is here; for a miss the upstream was asked. `bytes_served` are those of hits, `stale_served`
    answers with what may be outdated, as the upstream could not be asked.
    """

    state: State
    since: str | None
    retry_in_seconds: float
    last_error: str | None
    last_error_at: str | None
    rate_limit: RateShown | None
    requests: int
    failures: int
    bytes_fetched: int
    hits: int
    misses: int
    stale_served: int
    bytes_served: int


def shown_health(record: Repository, found: Proxied, *, is_administrator: bool) -> HealthShown:
    """What is shown of a proxy repository to whoever may pull from it, or administers it."""
    is_offline = record.source is not None and record.source.offline
    worst, failed = found.worst, found.failed
    has_failed = bool(failed.failed_at)
    return HealthShown(
        state="offline" if is_offline else _STATES.get(worst.state, "unknown"),
        since=time_text(worst.since // 1000) if worst.since else None,
        retry_in_seconds=max(0.0, round(worst.retry_at / 1000 - time.time(), 1)),
        last_error=failed.last_error if has_failed and is_administrator else None,
        last_error_at=time_text(failed.failed_at // 1000) if has_failed else None,
        rate_limit=_rate(found.latest),
        requests=found.counts.requests,
        failures=found.counts.failures,
        bytes_fetched=found.counts.bytes_fetched,
        hits=found.counts.hits,
        misses=found.counts.misses,
        stale_served=found.counts.stale_served,
        bytes_served=found.counts.bytes_served,
    )


def _rate(state: SourceState) -> RateShown | None:
    if state.remaining is None:
        return None
    return RateShown(state.limit, state.remaining, state.window)
