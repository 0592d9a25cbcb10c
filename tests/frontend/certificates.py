"""Certificates for tests, made when they are needed."""

import ssl
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.e2e.programs import need


@dataclass(frozen=True)
class Pair:
    """A self-signed certificate for 127.0.0.1, and its key."""

    certificate: Path
    key: Path

    def trust(self, *protocols: str) -> ssl.SSLContext:
        """What a client needs that trusts this certificate alone, and offers `protocols`."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def replace(self, other: "Pair") -> None:
        """Become a copy of the other pair, the key first, as renewing tools do."""
        self.key.write_bytes(other.key.read_bytes())
        self.certificate.write_bytes(other.certificate.read_bytes())


@cache
def _made(number: int, names: str) -> tuple[bytes, bytes]:
    need("openssl", "openssl")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", f"/CN=orlop-{number}"]
    command += ["-addext", f"subjectAltName={names}", "-keyout", "-", "-out", "-"]
    text = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 - constant
    key, mark, certificate = text.partition(b"-----BEGIN CERTIFICATE-----")
    assert mark, "openssl says something else"
    return mark + certificate, key


def make_pair(folder: Path, number: int = 1, names: str = "IP:127.0.0.1") -> Pair:
    """Write a pair into `folder`; the same `number` is the same pair, and another one is not."""
    certificate, key = _made(number, names)
    pair = Pair(folder / f"certificate-{number}.pem", folder / f"key-{number}.pem")
    pair.certificate.write_bytes(certificate)
    pair.key.write_bytes(key)
    return pair
