"""The command line's way to a server elsewhere: its URL, and a token or a password."""

import base64
import http.client
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from frontend.client import CommandFailed, HttpClient

CONNECT_SECONDS: Final = 30.0  # to connect; what is asked may take as long as it takes

# Source: RFC 6750, 2.1. Of anything else http.client would make an error that repeats it.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True)
class RemoteClient(HttpClient):
    """Calls the server at `url`; `authorization` is a header's value, and secret."""

    url: str
    authorization: str = field(repr=False)
    authority: Path | None = None  # who signs certificates, in PEM; None: the system's
    hint: str = ""  # what to do when the server does not know us

    def __post_init__(self) -> None:
        """Check the URL.

        Raises:
            CommandFailed: it is none of a server.
        """
        _parts(self.url)

    @property
    def place(self) -> str:
        """See `HttpClient`."""
        return f"the server at {self.url}"

    def _connection(self) -> http.client.HTTPConnection:
        is_secure, host, port, _ = _parts(self.url)
        if is_secure:
            return _Tls(host, port, context=self._trust(), timeout=CONNECT_SECONDS)
        return _Plain(host, port, timeout=CONNECT_SECONDS)

    def _trust(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.authority)
        except (OSError, ssl.SSLError) as error:
            raise CommandFailed(f"{self.authority}: no certificates in PEM: {error}") from None

    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": self.authorization}

    def _path(self, path: str) -> str:
        return _parts(self.url)[3] + path

    def _hint(self, status: int) -> str:
        return self.hint if status == 401 else ""

    def _doubt(self) -> str:
        return f"is it one, and is it {_other(self.url)}?"

    def _trouble(self, error: Exception) -> str | None:
        match error:
            case ssl.SSLCertVerificationError():
                return (
                    f"the certificate of {self.url} is not trusted ({error.verify_message}): "
                    "name who signed it with --ca FILE"
                )
            case ssl.SSLError():
                return f"{self.place} does not speak TLS as we do ({error.reason}): is it http://?"
            case socket.gaierror():
                return f"{self.url}: no such host ({error.strerror})"
            case ConnectionResetError() | BrokenPipeError() | http.client.BadStatusLine():
                return f"{self.place} does not answer as we ask: is it {_other(self.url)}?"
            case TimeoutError() | ConnectionRefusedError():
                return f"nobody answers at {self.url}: is the port right, and does a server run?"
        return None


def bearer(token: str) -> str:
    """The header's value for a token.

    Raises:
        CommandFailed: there is no such token; it is not repeated.
    """
    if not _TOKEN.fullmatch(token):
        raise CommandFailed("the token has characters that no token has")
    return f"Bearer {token}"


def basic(user: str, password: str) -> str:
    """The header's value for a name and its password.

    Raises:
        CommandFailed: there is no such name.
    """
    if ":" in user:
        raise CommandFailed("no user has a name with a colon")
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class _Plain(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _lasting(self.sock)


class _Tls(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _lasting(self.sock)


def _lasting(connected: socket.socket) -> None:
    """Wait for as long as the peer is there."""
    connected.settimeout(None)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _parts(url: str) -> tuple[bool, str, int, str]:
    """Whether it is TLS, host, port, and what goes before each path.

    Raises:
        CommandFailed: not the URL of a server. It is not repeated when it has a password in it.
    """
    if not re.fullmatch(r"[!-~]*", url):  # urlsplit would leave some of them out
        raise CommandFailed("the URL has characters that none may have")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # as it is done to connect, where nobody expects it to fail
    except ValueError:
        raise CommandFailed("the URL cannot be read: https://HOST[:PORT]") from None
    if "@" in parts.netloc:
        raise CommandFailed("no name and no password in the URL: use --token-file, or --login")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise CommandFailed(f"{url[:200]!r} is no server's URL: https://HOST[:PORT]")
    is_secure = parts.scheme == "https"
    return is_secure, host, port or (443 if is_secure else 80), parts.path.rstrip("/")


def _other(url: str) -> str:
    return "http://" if url.startswith("https") else "https://"
