"""Daemons of test stores: a process that serves as many data directories as it is asked to.

LMDB opens an index once in a process, so a store and its client need two. Run as a program, this
reads `serve <directory>` and `stop <directory>` from its standard input and answers each by a line.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from cas.local import StoreSettings, open_store
from cas.remote.client import connect_store
from cas.remote.daemon import serve_store
from cas.sockets import DAEMON_SOCKET, connected_path

ROOT = Path(__file__).parents[2]


@contextmanager
def listening(root: Path) -> Iterator[socket.socket]:
    """A socket that listens where workers look for it."""
    path = root / DAEMON_SOCKET
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.unlink(missing_ok=True)
    with connected_path(path) as short, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(short)
        listener.listen(128)
        yield listener


class Daemons:
    """The process, from the side of the tests."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> "subprocess.Popen[str]":
        """It starts when it is needed first."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.cas.daemons"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
        return self._process

    def ask(self, verb: str, root: Path) -> None:
        """Say one line and wait until it is done."""
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{verb} {root}\n")
        process.stdin.flush()
        assert process.stdout.readline() == f"{verb} {root}\n"

    def kill(self) -> None:
        """End it as a crash would: nothing is tidied up."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    @asynccontextmanager
    async def connected(self, root: Path, settings: StoreSettings | None = None):
        """A store of `root` over the wire, with its daemon, for a block."""
        self.ask("serve", root)
        try:
            async with connect_store(root, root / DAEMON_SOCKET, settings) as store:
                yield store
        finally:
            self.ask("stop", root)


# --- the process itself ---


async def _serve(root: Path, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    with trio.CancelScope() as scope:
        async with open_store(root) as store, trio.open_nursery() as nursery:
            with listening(root) as listener:
                await nursery.start(serve_store, store, listener)
                task_status.started(scope)
                await trio.sleep_forever()


async def _main() -> None:
    scopes: dict[str, tuple[trio.CancelScope, trio.Event]] = {}

    async def run(root: str, *, task_status: trio.TaskStatus[None]) -> None:
        ended = trio.Event()
        async with trio.open_nursery() as nursery:
            scopes[root] = await nursery.start(_serve, Path(root)), ended
            task_status.started()
        ended.set()

    async with trio.open_nursery() as nursery:
        while line := await trio.to_thread.run_sync(sys.stdin.readline):
            verb, _, root = line.rstrip("\n").partition(" ")
            if verb == "serve":
                await nursery.start(run, root)
            else:
                scope, ended = scopes.pop(root)
                scope.cancel()
                await ended.wait()
            sys.stdout.write(line)
            sys.stdout.flush()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_main)
