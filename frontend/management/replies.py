"""How the management API writes values down."""

from datetime import UTC, datetime


def time_text(seconds: float) -> str:
    """RFC 3339, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def fine_time_text(milliseconds: int) -> str:
    """RFC 3339, UTC, down to the millisecond."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC).replace(
        microsecond=milliseconds % 1000 * 1000
    )
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
