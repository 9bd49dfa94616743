"""Logs: a line a request, and whatever Python's loggers are told, as JSON or for people to read.

It knows structlog and the standard loggers; it knows nothing of requests but what their line says.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any

import structlog
from starlette.types import Scope
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.types import EventDict, Processor

from .request import Seen, current
from .settings import TelemetrySettings
from .tracebacks import written

OURS = "open_autoglm"
_LONGEST = 1_000  # letters of a text that is logged
# Asked every few seconds by machines, and of interest only when they fail.
_QUIET = frozenset({"/live", "/ready", "/metrics"})
_FIELDS = (
    *("method", "route", "status", "ms", "tenant", "model", "trace_id"),
    *("received", "sent", "input_tokens", "output_tokens", "path", "texts"),
)
log = logging.getLogger("open_autoglm.request")


def log_request(seen: Seen, content: bool, scope: Scope, **facts: str | float) -> None:
    """The line of a request that is over; what was asked in words only with ``content``."""
    quiet = facts["route"] in _QUIET and int(facts["status"]) < HTTPStatus.BAD_REQUEST
    level = logging.DEBUG if quiet else logging.INFO
    if not log.isEnabledFor(level):
        return
    line: dict[str, Any] = {**facts, "model": seen.model, "trace_id": seen.parent.trace_id}
    line |= {name: count for name in ("input_tokens", "output_tokens") if (count := getattr(seen, name))}
    if content:
        query = scope.get("query_string", b"").decode("latin-1")
        line["path"] = (str(scope["path"]) + (f"?{query}" if query else ""))[:_LONGEST]
        line["texts"] = [text[:_LONGEST] for text in seen.texts]
    log.log(level, "request", extra=line)


def configure_logging(settings: TelemetrySettings) -> None:
    """Sends all that this process logs to stderr, as settings say; to be called once, by the process's own program.

    Libraries are heard from warnings on: what they say at lower levels may quote requests.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(settings, terminal=sys.stderr.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # It complains anew of every attempt; recording.py says once that a collector cannot be reached.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    logging.getLogger(OURS).setLevel(settings.log_level.upper())


def formatter(settings: TelemetrySettings, terminal: bool) -> logging.Formatter:
    """How a line looks: JSON, or text with colours on a terminal."""
    text = settings.log_format == "text" or (settings.log_format == "auto" and terminal)
    before: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        ExtraAdder(_FIELDS),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _in_a_trace,
        _Content(settings.log_content),
    ]
    render: list[Processor] = [structlog.processors.JSONRenderer()]
    if text:
        render = [_printable, structlog.dev.ConsoleRenderer(colors=terminal)]
    return ProcessorFormatter(foreign_pre_chain=before, processors=[ProcessorFormatter.remove_processors_meta, *render])


def _in_a_trace(logger: Any, name: str, line: EventDict) -> EventDict:
    """Whatever is logged while a request is answered can be found by its trace."""
    seen = current()
    if seen is not None:
        line.setdefault("trace_id", seen.parent.trace_id)
    return line


class _Content:
    """Leaves out what may quote a request, unless that is asked for: messages of exceptions, and further lines.

    asyncio and others append what they know of a task to the first line of their message.
    """

    def __init__(self, content: bool) -> None:
        self._content = content

    def __call__(self, logger: Any, name: str, line: EventDict) -> EventDict:
        error = line.pop("exc_info", None)
        if isinstance(error, tuple):
            error = error[1]
        if isinstance(error, BaseException):
            line["exception"] = written(error, self._content)
        if not self._content and not str(line.get("logger", "")).startswith(OURS):
            line["event"] = str(line["event"]).partition("\n")[0]
        return line


def _printable(logger: Any, name: str, line: EventDict) -> MutableMapping[str, Any]:
    """No value breaks a line or steers the terminal; a traceback alone has several, which look like no other."""
    traceback = line.pop("exception", None)
    line = {key: _plain(value) for key, value in line.items()}
    if traceback is not None:
        line["exception"] = "\n".join(f"    {_plain(part)}" for part in traceback.splitlines())
    return line


def _plain(value: Any) -> Any:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in value)
