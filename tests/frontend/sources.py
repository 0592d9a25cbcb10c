"""An upstream in a thread of its own: a registry, until a test says otherwise."""

import json
import re
import secrets
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from frontend.domain.manifests import OCI_MANIFEST
from tests.frontend.live import digest_of
from tests.frontend.world import image_bytes
from tests.upstream.faulty import Asked, Behave, Faulty, answer

_TARGET = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|tags|referrers)/(?P<last>[^/?]+)")


@dataclass
class Source:
    """Blobs and manifests that every image of it has; `requests` is what it was asked.

    `misbehave` has the next requests for something answered by the test's own hand.
    """

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    requests: list[Asked] = field(default_factory=list)
    url: str = ""
    sent: int = 0  # bytes of blobs' bodies
    _tricks: list[tuple[str, str, Behave]] = field(default_factory=list)
    _always: list[tuple[str, str, Behave]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def blob(self, content: bytes) -> str:
        digest = digest_of(content)
        self.blobs[digest] = content
        return digest

    def manifest(self, content: bytes, *tags: str, kind: str = OCI_MANIFEST) -> str:
        digest = digest_of(content)
        for reference in (digest, *tags):
            self.manifests[reference] = (content, kind)
        return digest

    def image(self, *layers: bytes, tag: str = "t", **more: object) -> str:
        """An image with a config and layers; returns its manifest's digest."""
        self.blob(b"{}")
        parts = [
            {"mediaType": "x/y", "digest": self.blob(layer), "size": len(layer)} for layer in layers
        ]
        note = {"annotations": {"n": secrets.token_hex(8)}}  # no other image has this manifest
        return self.manifest(image_bytes(layers=parts, **(note | more)), tag)

    def misbehave(self, method: str, last: str, *tricks: Behave) -> None:
        """Answer the next requests for what ends so with these, in turn."""
        self._tricks += [(method, last, trick) for trick in tricks]

    def always(self, method: str, last: str, trick: Behave) -> None:
        """Answer so until `well`."""
        self._always.append((method, last, trick))

    def well(self) -> None:
        """Answer as a registry does again."""
        self._tricks.clear()
        self._always.clear()

    def asked(self, method: str, last: str) -> list[Asked]:
        """The requests for what ends so."""
        return [
            each for each in self.requests if each.method == method and each.target.endswith(last)
        ]

    async def behave(self, asked: Asked, stream: trio.abc.Stream) -> object:
        self.requests.append(asked)
        for tricks in (self._tricks, self._always):
            for trick in tricks:
                method, last, behave = trick
                if method == asked.method and asked.target.partition("?")[0].endswith(last):
                    if tricks is self._tricks:
                        tricks.remove(trick)
                    return await behave(asked, stream)
        await self._usual(asked, stream)
        return True

    async def _usual(self, asked: Asked, stream: trio.abc.Stream) -> None:
        found = _TARGET.match(asked.target)
        if found is None:
            await stream.send_all(answer(404))
        elif found["kind"] == "blobs" and found["last"] in self.blobs:
            await self._blob(self.blobs[found["last"]], found["last"], asked, stream)
        elif found["kind"] == "manifests" and found["last"] in self.manifests:
            content, kind = self.manifests[found["last"]]
            await stream.send_all(manifest_answer(content, kind, asked.method))
        else:
            await stream.send_all(answer(404, json.dumps({"errors": []}).encode()))

    async def _blob(
        self, content: bytes, digest: str, asked: Asked, stream: trio.abc.Stream
    ) -> None:
        start = int(re.sub(r"\D", "", asked.headers.get("range", "0")))
        fields = [f"Docker-Content-Digest: {digest}"]
        if start:
            fields.append(f"Content-Range: bytes {start}-{len(content) - 1}/{len(content)}")
        part = content[start:]
        body = b"" if asked.method == "HEAD" else part
        await stream.send_all(answer(206 if start else 200, b"", *fields, length=len(part)))
        self.sent += len(body)
        await stream.send_all(body)


def manifest_answer(
    content: bytes, kind: str = OCI_MANIFEST, method: str = "GET", *more: str
) -> bytes:
    digest = digest_of(content)
    body = b"" if method == "HEAD" else content
    fields = (f"Content-Type: {kind}", f"Docker-Content-Digest: {digest}", *more)
    return answer(200, body, *fields, length=len(content))


@contextmanager
def source(host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> Iterator[Source]:
    """Answer for a block; under TLS with `context`."""
    made = Source()
    thread = _Thread(made, host, context)
    thread.start()
    thread.is_up.wait()
    try:
        yield made
    finally:
        thread.token.run_sync_soon(thread.stop.set)
        thread.join()


class _Thread(threading.Thread):
    def __init__(self, made: Source, host: str, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self._context = context
        self._made = made
        self._host = host
        self.is_up = threading.Event()

    def run(self) -> None:
        trio.run(self._serve)

    async def _serve(self) -> None:
        self.stop = trio.Event()
        self.token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            faulty = Faulty(nursery, self._made.behave)
            await faulty.begin(self._context, self._host)
            scheme = "http" if self._context is None else "https"
            self._made.url = f"{scheme}://{self._host}:{faulty.port}"
            self.is_up.set()
            await self.stop.wait()
            nursery.cancel_scope.cancel()


# --- what a test says otherwise ---


def saying(*parts: bytes, keeps: bool = False) -> Behave:
    """Send these; the connection ends afterwards, unless it `keeps`."""

    async def behave(asked: Asked, stream: trio.abc.Stream) -> bool:
        for part in parts:
            await stream.send_all(part)
        return keeps

    return behave


def cut(content: bytes, at: int, *, said: int | None = None) -> Behave:
    """The beginning of a blob, and no more."""
    return saying(answer(200, content[:at], length=len(content) if said is None else said))


def reset(content: bytes, at: int) -> Behave:
    """The beginning of a blob, and a connection that is reset."""

    async def behave(asked: Asked, stream: trio.abc.Stream) -> bool:
        await stream.send_all(answer(200, content[:at], length=len(content)))
        await trio.sleep(0.05)  # or what was sent is thrown away with it
        linger = struct.pack("ii", 1, 0)
        plain = getattr(stream, "transport_stream", stream)  # below TLS
        plain.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return False

    return behave


def silent(*parts: bytes) -> Behave:
    """Send these, and nothing more, without an end."""

    async def behave(asked: Asked, stream: trio.abc.Stream) -> None:
        for part in parts:
            await stream.send_all(part)
        await trio.sleep_forever()

    return behave


class Gate:
    """The beginning of a blob at once, and the rest when the test says so."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content = content
        self._at = at
        self._is_open = threading.Event()
        self.is_reached = threading.Event()

    def open(self) -> None:
        self._is_open.set()

    async def __call__(self, asked: Asked, stream: trio.abc.Stream) -> bool:
        content = self._content
        await stream.send_all(answer(200, content[: self._at], length=len(content)))
        self.is_reached.set()
        await trio.to_thread.run_sync(self._is_open.wait, abandon_on_cancel=True)
        await stream.send_all(content[self._at :])
        return True
