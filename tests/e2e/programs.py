"""Programs that the tests run: found or named as missing, ended by their own process id."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CLIENT_SECONDS = 180.0  # the slowest client takes 20 s for the largest image on two cores
START_SECONDS = 30.0
END_SECONDS = 40.0  # a server may finish its requests for 30 s (http.shutdown_seconds)
POLL_SECONDS = 0.02


class ProgramFailed(AssertionError):
    """A program that should have succeeded did not, or the other way round."""


def need(program: str, package: str) -> None:
    """Skip the test unless `program` is installed; fail instead where CI=true."""
    if shutil.which(program) is None:
        _lacks(f"{program} is missing: install the Debian package {package}")


def need_root(program: str) -> None:
    """Skip the test unless it runs as root; fail instead where CI=true."""
    if os.geteuid() != 0:
        _lacks(f"{program} is started here with root's rights only")


def _lacks(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@contextmanager
def new_folder() -> Iterator[Path]:
    """Yield an empty folder, removed at the end; its path is short: sockets allow 107 bytes."""
    # Clients take it for a part of a name, in which not every two marks may stand together.
    folder = Path(tempfile.gettempdir()) / f"orlop-{secrets.token_hex(6)}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def environment(home: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which nothing of the user's own settings is seen."""
    home.mkdir(exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), **(settings or {})}


@dataclass(frozen=True)
class Client:
    """A command-line client with its own settings: `client("push", image)` returns its output."""

    command: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Run it and return its standard output.

        Raises:
            ProgramFailed: it did not exit with 0.
        """
        result = self._run(arguments, stdin)
        if result.returncode != 0:
            raise ProgramFailed(_told(result))
        return result.stdout

    def refused(self, *arguments: str, stdin: str = "") -> str:
        """Run it, expect it to fail, and return what it said on standard error.

        Raises:
            ProgramFailed: it exited with 0.
        """
        result = self._run(arguments, stdin)
        if result.returncode == 0:
            raise ProgramFailed(_told(result))
        return result.stderr

    def _run(self, arguments: Sequence[str], stdin: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            env=dict(self.env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS,
            check=False,
        )


def _told(result: subprocess.CompletedProcess[str]) -> str:
    command = " ".join(result.args)
    return f"{command}: exit code {result.returncode}\n{result.stdout}\n{result.stderr}"


@contextmanager
def running(
    command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` beside the test, its standard error appended to `log`; end it at the end.

    The end is SIGTERM and, after `END_SECONDS`, SIGKILL. It may have ended by then.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End `process` and wait for it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(
    is_so: Callable[[], bool],
    what: str,
    process: subprocess.Popen[bytes] | None = None,
    log: Path | None = None,
) -> None:
    """Wait until `is_so()`, at most `START_SECONDS` and only while `process` lives.

    Raises:
        ProgramFailed: it never came true; the end of `log` is told.
    """
    deadline = time.monotonic() + START_SECONDS
    while not is_so():
        has_ended = process is not None and process.poll() is not None
        if has_ended or time.monotonic() > deadline:
            last = log.read_text(errors="replace")[-4000:] if log is not None else ""
            raise ProgramFailed(f"{what}: {'its process ended' if has_ended else 'never'}\n{last}")
        time.sleep(POLL_SECONDS)
