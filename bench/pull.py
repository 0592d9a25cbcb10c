"""Many clients in one thread: each asks, reads into one buffer, forgets it, and asks again."""

import contextlib
import re
import select
import socket
import time

from bench.sample import Latency, Load, MeasurementFailed, fairness_of
from bench.servers import Server
from bench.wire import ACCEPT, TIMEOUT_SECONDS, head

_BUFFER = 256 << 10  # bytes: stays in the cache of the load's core
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


def pull(server: Server, path: str, *, clients: int, seconds: float, method: str = "GET") -> Load:
    """Keep `clients` connections busy for `seconds`; what is on its way then counts in part.

    So a gibibyte for each of 64 clients takes no longer than a small blob, and fairness is the
    share of bytes each had got.
    """
    request = head(server, method, path, {"Accept": ACCEPT})
    buffer = memoryview(bytearray(_BUFFER))
    with contextlib.ExitStack() as stack:
        poller = stack.enter_context(select.epoll())
        all_clients = [_Client(server, request, poller, buffer) for _ in range(clients)]
        for client in all_clients:
            client.connect()
            stack.callback(client.close)
        by_number = {client.number: client for client in all_clients}
        started = now = time.perf_counter()
        for client in all_clients:
            client.ask()
        while (left := started + seconds - now) > 0:
            for number, _ in poller.poll(left):
                client = by_number[number]
                client.receive()
                if client.number != number:  # it had to connect again
                    del by_number[number]
                    by_number[client.number] = client
            now = time.perf_counter()
    return _summarize(all_clients, now, now - started, has_body=method != "HEAD")


def _summarize(clients: list["_Client"], now: float, seconds: float, *, has_body: bool) -> Load:
    firsts = [first for client in clients for first in client.firsts]
    # who never got a byte waited at least until the end: leaving it out would flatter
    firsts += [now - client.asked for client in clients if not client.firsts]
    octets = sum(client.octets for client in clients)
    shares = [client.octets if has_body else client.answers for client in clients]
    answers = sum(client.answers for client in clients)
    return Load(seconds, answers, octets, Latency.of(firsts), fairness_of(shares))


class _Client:
    """One connection with one request on it at a time."""

    def __init__(
        self, server: Server, request: bytes, poller: select.epoll, buffer: memoryview
    ) -> None:
        self._server, self._request = server, request
        self._poller, self._buffer = poller, buffer
        self._is_head = request.startswith(b"HEAD ")
        self._head = bytearray()
        self._left = 0  # bytes of the body that are still to come
        self._is_last = False  # the server closes after this answer
        self.number = -1
        self.asked = 0.0
        self.firsts: list[float] = []
        self.answers = 0
        self.octets = 0

    def connect(self) -> None:
        self._socket = socket.create_connection(
            (self._server.host, self._server.port), TIMEOUT_SECONDS
        )
        self._socket.setblocking(False)
        self.number = self._socket.fileno()
        self._poller.register(self.number, select.EPOLLIN)

    def close(self) -> None:
        self._socket.close()

    def ask(self) -> None:
        self._head.clear()
        self.asked = time.perf_counter()
        self._socket.send(self._request)

    def receive(self) -> None:
        """Take what has come; one read for each turn, so that no client starves another."""
        try:
            count = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except ConnectionResetError:
            count = 0
        if not count:
            self._lose()
        elif self._left:
            self._take(count)
        else:
            self._take_head(count)

    def _take_head(self, count: int) -> None:
        if not self._head:
            self.firsts.append(time.perf_counter() - self.asked)
        self._head += self._buffer[:count]
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        if not self._head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 206")):
            raise MeasurementFailed(f"answered {bytes(self._head[:80])!r}")
        length = _LENGTH.search(self._head, 0, end)
        self._is_last = _CLOSE.search(self._head, 0, end) is not None
        if length is None and not self._is_head:
            raise MeasurementFailed("answered without a length")
        self._left = 0 if self._is_head or length is None else int(length[1])
        self._take(len(self._head) - end - 4)

    def _take(self, count: int) -> None:
        self._left -= count
        self.octets += count
        if self._left > 0:
            return
        if self._left < 0:
            raise MeasurementFailed("answered more than it said")
        self.answers += 1
        if self._is_last:
            self._connect_again()
        self.ask()

    def _lose(self) -> None:
        if self._left or self._head or not self.answers:
            raise MeasurementFailed("closed before the answer's end")
        self._connect_again()  # between two answers a server may
        self.ask()

    def _connect_again(self) -> None:
        self._poller.unregister(self.number)
        self._socket.close()
        self.connect()
