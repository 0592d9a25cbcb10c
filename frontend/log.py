"""Logs on standard error, one line an event, as JSON or for a terminal; never a secret.

An access line has method, path, status, bytes, duration and user. Header fields and queries are
not logged at all: they may hold passwords and tokens.
"""

import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from frontend.settings import Log

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
# They speak of every connection or file; ours say what matters.
_QUIET = ("hpack", "httpx", "httpcore", "asyncio")


def configure(settings: Log, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's logging (Hypercorn's, Quart's, trio's) one way."""
    out = sys.stderr if stream is None else stream
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderers(settings, is_terminal=out.isatty()),
        ],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def logger(name: str) -> Any:  # noqa: ANN401 - structlog's loggers are built when first used
    """A structured logger: `logger("orlop.access").info("request", status=200)`."""
    return structlog.stdlib.get_logger(name)


def _renderers(settings: Log, *, is_terminal: bool) -> list[Processor]:
    if settings.format == "console" or (settings.format == "auto" and is_terminal):
        # Plain: the default shows the variables of every frame, and one may hold a password.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=is_terminal, exception_formatter=plain)]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
