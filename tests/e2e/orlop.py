"""Orlop itself, as the program that users start."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.programs import Client, ProgramFailed, end, wait_until
from tests.e2e.registry import Registry, free_port


@dataclass
class Orlop:
    """An Orlop on a data directory; it keeps address and password over restarts."""

    folder: Path
    registry: Registry = field(
        default_factory=lambda: Registry(free_port(), secrets.token_urlsafe(16))
    )

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "orlop.log"

    @property
    def command(self) -> Client:
        """The `orlop` program, which speaks to the running server through its Unix socket."""
        return Client((sys.executable, "-m", "frontend.main"), _environment())

    @contextmanager
    def serve(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Serve until the block is left, then check that nothing went wrong inside.

        The test may kill the process: only an end that it did not ask for is a failure.

        Raises:
            ProgramFailed: a traceback is in the log, or SIGTERM did not lead to exit code 0.
        """
        process = self._start(arguments)
        try:
            wait_until(
                lambda: self.registry.answers("/readyz"), "orlop is ready", process, self.log
            )
            yield process
        finally:
            end(process)
        if process.returncode not in (0, -signal.SIGKILL):
            raise ProgramFailed(f"orlop ended with {process.returncode}\n{self._said()}")
        if "Traceback (most recent call last)" in self._said():
            raise ProgramFailed(f"orlop left a traceback\n{self._said()}")

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        command = [*self.command.command, "serve", "--data", str(self.data)]
        command += ["--listen", self.registry.address, *arguments]
        env = {**_environment(), "ORLOP_ADMIN_PASSWORD": self.registry.password}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
            )

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-8000:]


def _environment() -> Mapping[str, str]:
    # Settings of the person who runs the tests must not reach the server under test.
    return {name: value for name, value in os.environ.items() if not name.startswith("ORLOP_")}
