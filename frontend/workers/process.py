"""One process, seen from its supervisor: started, asked to end, and never left behind."""

import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from frontend.greeting import PASSWORD_VARIABLE
from frontend.workers.notify import VARIABLE as NOTIFY
from frontend.workers.orders import DRAIN, Answer, Failed, Order, decode_answer, encode

LAST_SECONDS: Final = 3.0  # for a process whose supervisor fails; then it is killed
_MAX_LINE: Final = 1 << 16  # bytes of an answer

# -P: a module in the working directory must not be taken for one of ours.
_COMMAND: Final = (sys.executable, "-P", "-m", "frontend.workers.child")


class Process:
    """A child that has its order. Made by `start_process`."""

    def __init__(self, process: trio.Process, stream: trio.SocketStream) -> None:
        self._process = process
        self._stream = stream

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def end(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode
        if code is None:
            return "runs"
        if code >= 0:
            return f"ended with {code}"
        try:
            return f"ended by {signal.Signals(-code).name}"
        except ValueError:  # a real-time signal
            return f"ended by signal {-code}"

    async def wait_answer(self) -> Answer:
        """What it says about its order; a process that ends without a word has failed."""
        line = bytearray()
        while not line.endswith(b"\n") and len(line) < _MAX_LINE:
            try:
                data = await self._stream.receive_some(_MAX_LINE)
            except trio.BrokenResourceError:
                data = b""
            if not data:
                await self.wait()
                return Failed(reason=f"it {self.end} before it was ready", is_final=False)
            line += data
        return decode_answer(bytes(line))

    async def wait(self) -> None:
        """Wait until it has ended."""
        await self._process.wait()

    async def drain(self) -> None:
        """Ask it to end in order."""
        with suppress(trio.BrokenResourceError):  # it ended meanwhile
            await self._stream.send_all(DRAIN)

    def kill(self) -> None:
        """End it now."""
        self._process.kill()


@asynccontextmanager
async def start_process(order: Order, environment: Mapping[str, str]) -> AsyncIterator[Process]:
    """Start a process with `order` for a block; leaving it ends the process.

    It is spawned anew, never forked: it shares nothing but the descriptors that the order names.
    Its process group is its own, so that Ctrl-C in a terminal reaches the supervisor alone.

    Raises:
        OSError: the system is out of processes or memory.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = await trio.lowlevel.open_process(
            [*_COMMAND, *order.name.split()],  # the name is for whoever lists processes
            stdin=theirs.fileno(),
            pass_fds=() if order.shared is None else order.shared.descriptors,
            env=_environment(order, environment),
            process_group=0,
        )
        theirs.close()
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        child = Process(process, stream)
        try:
            with suppress(trio.BrokenResourceError):  # `wait_answer` tells
                await stream.send_all(encode(order))
            yield child
        finally:
            ours.close()
            await _end(child)


async def _end(child: Process) -> None:
    """See it out: it has seen its lifeline end."""
    with trio.CancelScope(shield=True):
        with trio.move_on_after(LAST_SECONDS):
            await child.wait()
        if child.end == "runs":
            child.kill()
            await child.wait()


def _environment(order: Order, environment: Mapping[str, str]) -> dict[str, str]:
    """Ours, without what is not the child's: secrets stay where they are needed."""
    hidden = {NOTIFY} if order.role == "daemon" else {NOTIFY, PASSWORD_VARIABLE}
    return {name: value for name, value in environment.items() if name not in hidden}
