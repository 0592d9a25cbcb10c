"""How the management API writes values down."""

from datetime import UTC, datetime


def time_text(seconds: float) -> str:
    """RFC 3339, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
