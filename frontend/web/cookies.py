"""Cookies of pages, beside the session's. No script reads them, no other site has them sent.

orlop_theme    light or dark
orlop_flash    what a form did, for the next page alone: text in base64, "." and its MAC, whose key
               is the session's cookie. So nobody else can put words into a page.
"""

import base64
import binascii
import hmac
from typing import Final

from blake3 import blake3

from frontend.access.sessions import cookie_of as session_of
from frontend.domain.message import Realm
from frontend.web.page import Theme

THEME: Final = "orlop_theme"
FLASH: Final = "orlop_flash"
_YEAR: Final = 365 * 86400
_MINUTE: Final = 60
_MAX_FLASH: Final = 1000  # characters of a text
_FLASH_CONTEXT: Final = "orlop 2026 flash of a session"  # of the derivation of its key


def find(header: str, name: str) -> str:
    """The value of a cookie in a Cookie field; empty without one."""
    for pair in header.split(";"):
        key, _, value = pair.strip().partition("=")
        if key == name:
            return value
    return ""


def theme_of(header: str) -> Theme:
    """The theme that was chosen."""
    match find(header, THEME):
        case "light":
            return "light"
        case "dark":
            return "dark"
    return ""


def set_theme(theme: Theme, realm: Realm) -> tuple[str, str]:
    """Remember a theme; an empty one is forgotten."""
    return _set(THEME, theme, _YEAR if theme else 0, realm)


def flash_of(header: str) -> str:
    """What the form before this page did; empty: nothing."""
    encoded, _, mac = find(header, FLASH).partition(".")
    if not encoded or not hmac.compare_digest(_mac(encoded, header), mac.encode()):
        return ""
    try:
        return base64.urlsafe_b64decode(encoded).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def set_flash(text: str, header: str, realm: Realm) -> tuple[str, str]:
    """Have the next page say `text`; `header` is the Cookie field of this request."""
    encoded = base64.urlsafe_b64encode(text[:_MAX_FLASH].encode()).decode()
    return _set(FLASH, f"{encoded}.{_mac(encoded, header).decode()}", _MINUTE, realm)


def drop_flash(realm: Realm) -> tuple[str, str]:
    """It was said."""
    return _set(FLASH, "", 0, realm)


def _mac(encoded: str, header: str) -> bytes:
    session = session_of(header).encode("utf-8", "replace")
    key = blake3(session, derive_key_context=_FLASH_CONTEXT).digest()
    return blake3(encoded.encode("utf-8", "replace"), key=key).hexdigest().encode()


def _set(name: str, value: str, lifetime: int, realm: Realm) -> tuple[str, str]:
    secure = "; Secure" if realm.url.startswith("https:") else ""
    rest = f"Max-Age={lifetime}; Path=/; HttpOnly; SameSite=Strict{secure}"
    return ("Set-Cookie", f"{name}={value}; {rest}")
