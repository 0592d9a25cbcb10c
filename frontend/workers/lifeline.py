"""A process's side of the connection to its supervisor.

It is standard input, so that nobody has to be told its number. It ends with the supervisor, however
that ends, and then so do we: nothing outlives a supervisor that was killed.
"""

import contextlib
import os
import socket

import trio

from frontend.workers.orders import Answer, Order, decode_order, encode

_MAX_LINE = 1 << 20  # bytes of an order


class Lifeline:
    """The connection, once the order has been read."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.is_answered = False

    def say(self, answer: Answer) -> None:
        """Answer the order. A supervisor that is gone hears nothing; `wait_end` tells of it."""
        self.is_answered = True
        with contextlib.suppress(OSError):
            self._connection.sendall(encode(answer))

    async def wait_end(self) -> None:
        """Wait until the supervisor wants us to end, or is gone."""
        connection = trio.socket.from_stdlib_socket(self._connection.dup())
        with connection, contextlib.suppress(OSError):
            await connection.recv(16)  # it says one thing only


def take_lifeline() -> tuple[Lifeline, Order]:
    """Read the order. Standard input is empty from then on.

    Raises:
        EOFError: the supervisor is gone already.
    """
    connection = socket.socket(fileno=os.dup(0))
    empty = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(empty, 0, inheritable=False)
    os.close(empty)
    line = bytearray()
    while not line.endswith(b"\n"):
        data = connection.recv(_MAX_LINE - len(line))
        if not data:
            raise EOFError
        line += data
    return Lifeline(connection), decode_order(bytes(line))
