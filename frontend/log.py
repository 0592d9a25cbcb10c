"""Logs on standard error, one line an event, as JSON or for a terminal; never a secret.

An access line has method, path, status, bytes, duration and user. Header fields and queries are
not logged at all: they may hold passwords and tokens.
"""

import contextlib
import logging
import os
import sys
from functools import partial
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

from frontend.settings import Log

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
# They speak of every connection or file; ours say what matters.
_QUIET = ("hpack", "httpx", "httpcore", "asyncio")


def configure(settings: Log, stream: TextIO | None = None, process: str = "") -> None:
    """Send structlog and the standard library's logging (Hypercorn's, Quart's, trio's) one way.

    With `process`, the name of one among several, each line says which one wrote it.
    """
    out = sys.stderr if stream is None else stream
    shared: list[Processor] = list(_SHARED)
    if process:
        shared.append(partial(_name, process, os.getpid()))
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderers(is_console=_is_console(settings, out), is_terminal=out.isatty()),
        ],
    )
    kind = logging.StreamHandler if _is_console(settings, out) else JsonHandler
    handler = kind(out)
    if isinstance(handler, JsonHandler):
        handler.process = process
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def logger(name: str) -> Any:  # noqa: ANN401 - structlog's loggers are built when first used
    """A structured logger: `logger("orlop.access").info("request", status=200)`."""
    return structlog.stdlib.get_logger(name)


class JsonHandler(logging.StreamHandler[TextIO]):
    """Writes JSON; whoever has a line of it ready can write that. `process` is to be in it."""

    process = ""

    def write(self, line: str) -> None:
        """Write a line that needs no formatting."""
        with self.lock or contextlib.nullcontext():
            self.stream.write(line + self.terminator)
            self.flush()


def _name(process: str, pid: int, _logger: Any, _method: str, event: EventDict) -> EventDict:  # noqa: ANN401 - structlog's
    event["process"], event["pid"] = process, pid
    return event


def _is_console(settings: Log, out: TextIO) -> bool:
    return settings.format == "console" or (settings.format == "auto" and out.isatty())


def _renderers(*, is_console: bool, is_terminal: bool) -> list[Processor]:
    if is_console:
        # Plain: the default shows the variables of every frame, and one may hold a password.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=is_terminal, exception_formatter=plain)]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
