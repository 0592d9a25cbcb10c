"""HTTP/1.1 in a few system calls: http.client alone would keep the load's core busy."""

import socket
from dataclasses import dataclass
from io import BufferedReader
from typing import BinaryIO
from urllib.parse import urlsplit

from bench.sample import MeasurementFailed
from bench.servers import Server

# docker-registry hides an OCI manifest from who does not name its type
ACCEPT = "application/vnd.oci.image.manifest.v1+json, */*"
TIMEOUT_SECONDS = 30.0  # a server that says nothing for so long has failed
_PIECE = 32 << 10  # bytes: what a Go client copies at once


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def head(server: Server, method: str, path: str, headers: dict[str, str] | None = None) -> bytes:
    """A request up to its body, with the server's credentials."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {server.host}:{server.port}"]
    lines += [f"{name}: {value}" for name, value in {**server.headers, **(headers or {})}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Connection:
    """One kept connection to a server, opened anew when the server has closed it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._socket: socket.socket | None = None
        self._file: BufferedReader | None = None

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None and self._socket is not None:
            self._file.close()
            self._socket.close()
        self._socket = self._file = None

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send one request and read its whole answer."""
        headers = headers or {}
        if method in ("POST", "PUT", "PATCH"):
            headers = {**headers, "Content-Length": str(len(body))}
        self.send(head(self.server, method, path, headers) + body)
        return self.receive(has_body=method != "HEAD")

    def send(self, octets: bytes) -> None:
        self._connected().sendall(octets)

    def send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        """Send part of a file without reading it."""
        self._connected().sendfile(file, offset, count)

    def send_chunked(self, file: BinaryIO) -> None:
        """Send a file as a body whose length is not known: what docker does."""
        connected = self._connected()
        while piece := file.read(_PIECE):
            connected.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        connected.sendall(b"0\r\n\r\n")

    def receive(self, *, has_body: bool = True) -> Answer:
        assert self._file is not None  # noqa: S101 - something was sent
        status_line = self._file.readline()
        if not status_line:
            raise MeasurementFailed("closed without an answer")
        status = int(status_line.split()[1])
        headers: dict[str, str] = {}
        while (line := self._file.readline().rstrip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = self._read_body(headers) if has_body and status not in (204, 304) else b""
        if headers.get("connection", "").lower() == "close":
            self.__exit__()
        return Answer(status, headers, body)

    def _read_body(self, headers: dict[str, str]) -> bytes:
        assert self._file is not None  # noqa: S101 - called with an answer's head read
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self._file.read(int(headers.get("content-length", "0")))
        pieces = []
        while size := int(self._file.readline().split(b";")[0], 16):
            pieces.append(self._file.read(size))
            self._file.readline()
        self._file.readline()
        return b"".join(pieces)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(
                (self.server.host, self.server.port), TIMEOUT_SECONDS
            )
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._file = self._socket.makefile("rb")
        return self._socket


def expect(answer: Answer, *statuses: int) -> Answer:
    """The answer, if it has one of these statuses."""
    if answer.status not in statuses:
        raise MeasurementFailed(f"answered {answer.status}: {answer.body[:200]!r}")
    return answer


def location_of(answer: Answer, **query: str) -> str:
    """Where an upload goes on: path and query, whatever host the server takes itself for."""
    parts = urlsplit(answer.headers["location"])
    wanted = "&".join([*filter(None, [parts.query]), *(f"{k}={v}" for k, v in query.items())])
    return f"{parts.path}?{wanted}" if wanted else parts.path
