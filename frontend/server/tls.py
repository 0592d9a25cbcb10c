"""A connected socket under TLS, with the interface of a plain one.

OpenSSL works on two buffers in memory; the bytes go through the same reads and writes as in clear
text, and so the deadlines, the stall limit and the accounting are the same. The reader and the
writer are two tasks, but nothing waits between a change of OpenSSL's state and the moment its bytes
are in `_sealed`, in order.
"""

import contextlib
import logging
import os
import ssl
from typing import Final

import trio

from frontend.server.wire import SMALL, Gone, Wire

SLICE: Final = (
    128 << 10
)  # bytes sealed at once: 0.1 ms of a core, and what a slow reader has us keep
_NOT_HTTPS: Final = b"HTTP/1.0 400 Bad Request\r\n\r\nThis port speaks HTTPS.\n"

_log = logging.getLogger("orlop.tls")


class TlsWire(Wire):
    """The socket of one connection; one task reads, one writes. `sent` counts clear text."""

    has_sendfile = False

    def __init__(
        self, stream: trio.SocketStream, stall_seconds: float, context: ssl.SSLContext
    ) -> None:
        super().__init__(stream, stall_seconds)
        self._from_peer, self._to_peer = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._from_peer, self._to_peer, server_side=True)
        self._sealed = b""  # records that the socket did not take yet
        self._is_ended = False  # we said that nothing more comes

    @property
    def protocol(self) -> str | None:
        """What the handshake agreed on, by ALPN."""
        return self._tls.selected_alpn_protocol()

    async def handshake(self) -> None:
        """Agree with the client on keys, until `deadline`.

        Raises:
            Gone: it left, or speaks something else.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                limit = self.deadline
                await self._flush()
                self.deadline = limit  # a wait to send has a limit of its own, and ends with none
                await self._fetch(SMALL)
            except ssl.SSLError as error:
                _log.debug("no handshake: %s", error.reason)
                if error.reason == "HTTP_REQUEST":
                    self._sealed = _NOT_HTTPS
                self._push()  # that, or an alert
                raise Gone from None
            else:
                return await self._flush()

    async def read(self, size: int) -> bytes:
        """What came, at most `size` bytes; nothing at the end, however it came."""
        if self._is_ended:  # all that comes is dropped: no use to decipher it
            return await super().read(size)
        while True:
            try:
                data = self._opened(size)
                if data is not None:
                    return data
                self._push()  # an answer to what was no data; there seldom is one
                await self._fetch(size)
            except (Gone, ssl.SSLError):
                return b""

    async def send(self, *parts: bytes) -> None:
        """Send all of it, every `STALL_BYTES` under the stall limit.

        Raises:
            Gone
        """
        if sum(map(len, parts)) <= SMALL:
            parts = (b"".join(parts),)
        self.begin()
        for part in parts:
            rest = memoryview(part)
            while rest:
                self._seal(rest[:SLICE])
                rest = rest[SLICE:]
                await self._flush()

    def try_send(self, data: bytes | memoryview) -> int:
        """Send what fits without waiting; returns how many bytes were taken.

        Raises:
            Gone
        """
        self._push()
        if self._sealed or not data:
            return 0
        taken = min(len(data), SLICE)
        self._seal(data[:taken])
        self._push()
        return taken

    def end_sending(self) -> None:
        """Say that nothing more comes, in TLS and below it."""
        self.finish()
        super().end_sending()

    def finish(self) -> None:
        """Say that nothing more comes, and that this is all: an attacker's cut looks different."""
        if self._is_ended:
            return
        self._is_ended = True
        with contextlib.suppress(ssl.SSLError, Gone):
            self._push()
            if not self._sealed:  # or it would seem to end where it does not
                with contextlib.suppress(ssl.SSLError):
                    self._tls.unwrap()  # complains that the client has not said the same yet
                self._push()

    def _opened(self, size: int) -> bytes | None:
        """What was deciphered; None: more must come first; nothing at the end.

        Raises:
            ssl.SSLError: what came is no TLS.
        """
        parts: list[bytes] = []
        while size > 0:
            try:
                part = self._tls.read(size)  # one record at most
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError:
                if not parts:
                    raise
                break  # it is raised again by the next read
            if not part:
                return b"".join(parts)
            parts.append(part)
            size -= len(part)
        return b"".join(parts) if parts else None

    async def _fetch(self, size: int) -> None:
        """Give OpenSSL more of what comes.

        Raises:
            Gone: nothing more does.
        """
        raw = await super().read(size)
        if not raw:
            raise Gone
        self._from_peer.write(raw)

    def _seal(self, data: bytes | memoryview) -> None:
        try:
            self._tls.write(data)
        except ssl.SSLError:
            raise Gone from None
        self.sent += len(data)

    def _push(self) -> None:
        """Send as much of what is sealed as fits.

        Raises:
            Gone
        """
        if self._to_peer.pending:
            more = self._to_peer.read()
            self._sealed = self._sealed + more if self._sealed else more
        if self._sealed:
            try:
                sent = os.write(self.fileno(), self._sealed)
            except BlockingIOError:
                return
            except OSError:
                raise Gone from None
            self._sealed = self._sealed[sent:]

    async def _flush(self) -> None:
        """Send all that is sealed.

        Raises:
            Gone
        """
        self._push()
        while self._sealed:
            await self.wait_writable()
            self._push()
