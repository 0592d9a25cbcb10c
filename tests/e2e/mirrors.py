"""The files of docs/mirrors.md as a test needs them, and a proxy in front that prefixes paths."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_DOCUMENT = Path(__file__).parents[2] / "docs" / "mirrors.md"


def documented(mark: str, address: str, repository: str, *, is_plain: bool = True) -> str:
    """The block of the document that has `mark` in it, for this server and this repository."""
    blocks = re.findall(r"```\w*\n(.*?)```", _DOCUMENT.read_text(), re.DOTALL)
    (block,) = [each for each in blocks if mark in each]
    text = block.replace("local/hub", repository)
    if is_plain:
        text = text.replace("https://registry.example.com", "http://registry.example.com")
    return text.replace("registry.example.com", address)


@contextmanager
def prefixing(port: int, prefix: str) -> Iterator[str]:
    """Pass requests on to a server on `port` with `prefix` before their paths; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            connection = HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request(self.command, prefix + self.path, headers=dict(self.headers))
            answer = connection.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("date", "server", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            while data := answer.read(1 << 16):
                self.wfile.write(data)
            connection.close()

        do_HEAD = do_GET  # noqa: N815 - as above

        def log_message(self, *_: Any) -> None:
            """Nothing: the tests' output is theirs."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
