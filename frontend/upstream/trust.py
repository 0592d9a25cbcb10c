"""Whose certificates are believed."""

import ssl

import trio


class Trust:
    """The system's authorities, and those in the file `ca`; read when they are first asked for.

    That takes some 20 ms, in which no other request should wait.
    """

    def __init__(self, ca: str = "") -> None:
        self._ca = ca
        self._context: ssl.SSLContext | None = None

    def read(self) -> ssl.SSLContext:
        """Read them, if nobody did.

        Raises:
            OSError: `ca` cannot be read, or holds no certificate.
        """
        if self._context is None:
            context = ssl.create_default_context()
            context.set_alpn_protocols(["http/1.1"])  # HTTP/2 is five times slower for blobs
            if self._ca:
                context.load_verify_locations(cafile=self._ca)
            self._context = context  # two threads at once read the same
        return self._context

    async def context(self) -> ssl.SSLContext:
        """The same, in a thread."""
        if self._context is None:
            return await trio.to_thread.run_sync(self.read)
        return self._context
