"""Random secrets that are shown once and kept as a hash: access tokens, refresh tokens, cookies."""

import re
import secrets
from typing import Final

from blake3 import blake3

ACCESS: Final = "orlop_"  # the beginning of an access token: people, and scanners, see what it is
REFRESH: Final = "orlopr_"
_BYTES: Final = 32  # 256 bits: no salt and no slow hash is needed
_ACCESS: Final = re.compile(r"orlop_[A-Za-z0-9_-]{43}")
_REFRESH: Final = re.compile(r"orlopr_[A-Za-z0-9_-]{43}")


def new_secret(prefix: str = "") -> str:
    """A new one, of 256 random bits."""
    return prefix + secrets.token_urlsafe(_BYTES)


def new_id() -> str:
    """What names it to people: 16 hex digits, no secret."""
    return secrets.token_hex(8)


def hash_of(secret: str) -> bytes:
    """What is kept of it: 32 bytes."""
    return blake3(secret.encode("utf-8", "replace")).digest()


def is_access_token(text: str) -> bool:
    """Whether a text has the form of an access token; no password may."""
    return _ACCESS.fullmatch(text) is not None


def is_secret(text: str) -> bool:
    """Whether a text has the form of any token."""
    return is_access_token(text) or is_refresh_token(text)


def is_refresh_token(text: str) -> bool:
    """Whether a text has the form of a refresh token; no password may."""
    return _REFRESH.fullmatch(text) is not None
