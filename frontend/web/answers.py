"""What every answer to a browser has: headers that keep strangers out, and gzip."""

import gzip
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "form-action 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS: Final = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
HTML: Final = "text/html; charset=utf-8"
PRIVATE: Final = ("Cache-Control", "no-store")  # also from who goes back after signing out
FOREVER: Final = ("Cache-Control", "public, max-age=31536000, immutable")
_WORTH: Final = 600  # bytes: what is shorter fits into one packet anyway
_LEVEL: Final = 5  # 1 ms for 60 KiB; 9 takes twice that for 1 %


@dataclass(frozen=True, slots=True)
class Made:
    """An answer for any kind of server."""

    status: int
    headers: tuple[tuple[str, str], ...]
    content: bytes


def make(
    status: int, content: bytes, accepts: str, *headers: tuple[str, str], kind: str = HTML
) -> Made:
    """An answer, compressed for who `accepts` that.

    A page has secrets beside what others may have chosen: that compression tells nobody of them
    needs a browser that sends the session's cookie for another site, and ours is SameSite=Strict.
    """
    is_packed = len(content) >= _WORTH and _takes_gzip(accepts)
    if is_packed:
        content = _packed_once(content) if FOREVER in headers else gzip.compress(content, _LEVEL)
    encoding = (("Content-Encoding", "gzip"),) if is_packed else ()
    fixed = (
        ("Content-Type", kind),
        ("Content-Length", str(len(content))),
        ("Vary", "Accept-Encoding"),
    )
    return Made(status, (*fixed, *encoding, *HEADERS, *headers), content)


def make_redirect(to: str, *headers: tuple[str, str]) -> Made:
    """To another page; a browser asks for it by GET. The path is ours, so it names no host."""
    return Made(303, (("Location", to), ("Content-Length", "0"), PRIVATE, *HEADERS, *headers), b"")


@lru_cache(maxsize=16)
def _packed_once(content: bytes) -> bytes:
    return gzip.compress(content, 9)


def _takes_gzip(accepts: str) -> bool:
    """Source: RFC 9110, 12.5.3; `*` and weights other than none at all do not matter here."""
    for each in accepts.lower().split(","):
        name, _, weight = each.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
