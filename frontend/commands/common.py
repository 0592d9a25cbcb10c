"""What the verbs of the command line share: parameters, settings, words, and how to fail."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

Data = Annotated[Path | None, Parameter(help="The data directory (default ./orlop-data).")]
Config = Annotated[Path | None, Parameter(help="The configuration file (default ./orlop.toml).")]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]


class Failure(Exception):
    """What to tell the person; the command ends with 1."""


class Misuse(Exception):
    """Options that do not go together; the command ends with 2."""


def load(config: Path | None, flags: dict[str, str | None]) -> Any:  # noqa: ANN401 - frontend.settings is imported late
    """The configuration.

    Raises:
        SettingsError: it cannot be used.
    """
    from frontend.settings import load

    return load(config, os.environ, flags)


def settings(config: Path | None, flags: dict[str, str | None]) -> Any:  # noqa: ANN401 - as above
    """The configuration; ends with 2 when it cannot be used."""
    from frontend.settings import SettingsError

    try:
        return load(config, flags)
    except SettingsError as error:
        sys.stderr.write(f"orlop: {error}\n")
        raise SystemExit(2) from None


def data_directory(data: Path | None) -> Path:
    """The one that was named, or that is configured."""
    return data or Path(settings(None, {}).storage.data)


def show(value: object, words: str, *, as_json: bool) -> None:
    """Print a result, in words or as JSON."""
    write(json.dumps(value, indent=2) if as_json else words)


def write(text: str) -> None:
    """Print, unless there is nothing to say.

    Raises:
        BrokenPipeError: whoever reads it had enough.
        Failure: it cannot be written, as to a file on a full disk.
    """
    if not text:
        return
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence()
        raise Failure(f"what is to be printed cannot be: {error.strerror}") from None


def silence() -> None:
    """Let what is printed go nowhere: what waits in the buffer would fail again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
