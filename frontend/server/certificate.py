"""The certificate that handshakes show, read again when it was renewed.

Both files are looked at no more than once a second, and only when somebody connects: whoever renews
them has to tell nobody.
"""

import logging
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from frontend.settings import Http, SettingsError

LOOK_SECONDS: Final = 1.0

_Stamp = tuple[tuple[int, int, int], ...]
_log = logging.getLogger("orlop.server")


@dataclass(eq=False)
class CertificateUnusable(SettingsError):
    """The pair of certificate and key cannot be used; `file` is the one to look at."""

    file: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


class Certificate:
    """A pair of files and the context that was made of them."""

    def __init__(self, certificate: Path, key: Path, protocols: Sequence[str]) -> None:
        """`protocols` are offered by ALPN, the preferred one first.

        Raises:
            CertificateUnusable
        """
        self._certificate = certificate
        self._key = key
        self._protocols = list(protocols)
        self._stamp = self._lamented = self._look()
        self._context = self._load()
        self._look_at = -1.0  # trio's clock

    def context(self) -> ssl.SSLContext:
        """For the next handshake. A renewed pair that cannot be used is logged once, and not used.

        Connections that have theirs keep it.
        """
        now = trio.current_time()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            stamp = self._look()
            if stamp != self._stamp:
                self._renew(stamp)
        return self._context

    def _renew(self, stamp: _Stamp) -> None:
        try:
            self._context = self._load()
        except CertificateUnusable as error:  # tried again: we may have been short of descriptors
            if stamp != self._lamented:
                self._lamented = stamp
                _log.error("the renewed certificate is not used: %s", error)
        else:
            self._stamp = self._lamented = stamp
            _log.info("the certificate was renewed: %s", self._certificate)

    def _look(self) -> _Stamp:
        """What changes when a file does; links are followed, which some tools swap."""
        stamp: list[tuple[int, int, int]] = []
        for path in (self._certificate, self._key):
            with suppress(OSError):
                found = path.stat()
                stamp.append((found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(stamp)

    def _load(self) -> ssl.SSLContext:
        _check(self._certificate, "CERTIFICATE-----", "no certificate in PEM")
        _check(self._key, "PRIVATE KEY-----", "no private key in PEM")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A new handshake within the connection is a way to keep us busy, and of no use to anybody.
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(self._protocols)
        try:
            context.load_cert_chain(self._certificate, self._key, password=self._no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise self._fault(error) from None
        return context

    def _no_password(self) -> str:
        """Instead of a question on the terminal, which nobody may be at."""
        raise CertificateUnusable(self._key, "the key has a passphrase; it must have none")

    def _fault(self, error: Exception) -> CertificateUnusable:
        """Which of the two it is, and why."""
        reason = str(getattr(error, "reason", None) or error)
        if reason == "KEY_VALUES_MISMATCH":
            return CertificateUnusable(self._key, f"not the key of {self._certificate}")
        try:
            ssl.create_default_context(cafile=str(self._certificate))
        except (OSError, ValueError):
            return CertificateUnusable(self._certificate, f"not usable: {reason}")
        return CertificateUnusable(self._key, f"not usable: {reason}")


def open_certificate(settings: Http) -> Certificate | None:
    """The certificate of the configuration; None when HTTP is served in clear text.

    Raises:
        CertificateUnusable
    """
    if not settings.tls_certificate:
        return None
    # Our order counts, not the client's: whoever turned h2 on wants it.
    protocols = ("h2", "http/1.1") if settings.http2 else ("http/1.1",)
    return Certificate(Path(settings.tls_certificate), Path(settings.tls_key), protocols)


def _check(path: Path, mark: str, complaint: str) -> None:
    """Complain of a file in words that name it, which OpenSSL's do not."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise CertificateUnusable(path, error.strerror or str(error)) from None
    if mark not in text:
        raise CertificateUnusable(path, complaint)
