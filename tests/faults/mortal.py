"""A registry that is killed and comes back: real processes, found again by whoever talks to it."""

import http.client
import os
import random
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

from tests.workers.servers import AUTH, PATIENCE, Server, launch

STARTS = 20  # a start may find the lock held, until orphans of a killed supervisor have ended


class Away(Exception):
    """No whole answer came: nobody knows whether it was done, if it was sent."""

    def __init__(self, why: str, *, is_sent: bool = True) -> None:
        super().__init__(why)
        self.is_sent = is_sent


class Mortal:
    """`orlop serve` on one data directory, with `workers` processes."""

    def __init__(self, folder: Path, workers: int, **settings: object) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.kills = 0
        self.log: list[str] = []  # of the servers that have ended
        self._workers = workers
        self._settings = {f"ORLOP_{name.upper()}": str(value) for name, value in settings.items()}
        self._server: Server | None = None
        self._changing = threading.Lock()

    @property
    def address(self) -> tuple[str, int]:
        server = self._server
        return ("127.0.0.1", 1) if server is None else server.address

    def start(self) -> None:
        """Start it, and wait until it serves."""
        with self._changing:
            self._start()

    def _start(self) -> None:
        for _ in range(STARTS):
            arguments = () if self._workers == 1 else ("--workers", str(self._workers))
            server = launch(self.folder, *arguments, **self._settings)
            try:
                server.wait_greeting()
            except AssertionError:  # it ended instead
                self._bury(server)
                continue
            self._server = server
            return
        raise AssertionError(f"it does not start: {self.log[-1]}")

    def kill_something(self, dice: random.Random) -> str:
        """SIGKILL all of it and start it again; with workers, as often only one of its processes.

        Returns who was killed.
        """
        with self._changing:
            assert self._server is not None
            self.kills += 1
            children = self._server.children()
            name = dice.choice(["all", *children])
            if name == "all":
                self._kill_all()
                self._start()
            else:  # its supervisor starts another one
                with suppress(ProcessLookupError):
                    os.kill(children[name], signal.SIGKILL)
            return name

    def _kill_all(self) -> None:
        assert self._server is not None
        server, self._server = self._server, None
        for pid in (server.process.pid, *server.children().values()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._bury(server)

    def _bury(self, server: Server) -> None:
        server.process.wait(PATIENCE)
        server.log.wait_end()
        server.out.wait_end()
        self.log.append(server.log.text)

    def stop(self) -> None:
        """End it in order."""
        with self._changing:
            assert self._server is not None
            server, self._server = self._server, None
            code = server.stop()
            self._bury(server)
            assert code == 0, server.log.text

    def close(self) -> None:
        """Leave no process, whatever happened."""
        with self._changing:
            if self._server is not None:
                self._kill_all()


class Connection:
    """One client: its requests go to the server that is there, over one connection."""

    def __init__(self, server: Mortal) -> None:
        self._server = server
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str):
        """One request: status, headers, body.

        Raises:
            Away: the answer was lost, or says that the daemon is away.
        """
        connection = self._connection or self._connect()
        try:
            connection.request(method, path, body, AUTH | headers)
            answer = connection.getresponse()
            found = answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Away(str(error)) from None
        if answer.will_close:
            self.close()
        if found[0] == 503:
            raise Away(found[2].decode())
        return found

    def ask_until_answered(self, method: str, path: str, **headers: str):
        """As `ask`, as often as it takes: processes that were killed are being replaced."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self.ask(method, path, **headers)
            except Away:
                assert time.monotonic() < deadline, f"{method} {path} is not answered"
                time.sleep(0.2)

    def _connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(*self._server.address, timeout=PATIENCE)
        try:
            connection.connect()
        except OSError as error:
            raise Away(str(error), is_sent=False) from None
        self._connection = connection
        return connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
