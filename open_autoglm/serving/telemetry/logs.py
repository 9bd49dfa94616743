"""Logs: a line a request, and whatever Python's loggers are told, as JSON or for people to read.

It knows structlog and the standard loggers; it knows nothing of requests but what their line says.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import structlog
from starlette.types import Scope
from structlog.types import Processor

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
    *("who", "action", "resource", "allowed", "why", "microseconds"),
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
    # As log.log does, but for looking up where this line of code is, which no formatter here asks for.
    log.handle(log.makeRecord(log.name, level, __file__, 0, "request", (), None, extra=line))


def configure_logging(settings: TelemetrySettings) -> None:
    """Sends all that this process logs to stderr, as settings say; to be called once, by the process's own program.

    Libraries are heard from warnings on: what they say at lower levels may quote requests.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(settings, terminal=sys.stderr.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    root.setLevel(max(level, logging.WARNING))
    # It complains anew of every attempt; recording.py says once that a collector cannot be reached.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    logging.getLogger(OURS).setLevel(level)


def formatter(settings: TelemetrySettings, terminal: bool) -> logging.Formatter:
    """How a line looks: JSON, or text with colours on a terminal."""
    if settings.log_format == "text" or (settings.log_format == "auto" and terminal):
        return _Lines(_Text(terminal), settings.log_content)
    return _Lines(structlog.processors.JSONRenderer(), settings.log_content)


class _Lines(logging.Formatter):
    """Records as structlog renders them. structlog's own ProcessorFormatter takes twice as long, at every request.

    Unless ``content``, what may quote a request is left out: messages of exceptions, and further lines of a message,
    to which asyncio and others append what they know of a task.
    """

    def __init__(self, render: Processor, content: bool) -> None:
        super().__init__()
        self._render, self._content = render, content

    def format(self, record: logging.LogRecord) -> str:
        said = record.getMessage()
        if not self._content and not record.name.startswith(OURS):
            said = said.partition("\n")[0]
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "timestamp": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": said,
        }
        # Of what a logger adds only what we know of: a library may add anything.
        line |= {name: record.__dict__[name] for name in _FIELDS if name in record.__dict__}
        seen = current()
        if seen is not None:
            line.setdefault("trace_id", seen.parent.trace_id)
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = written(record.exc_info[1], self._content)
        return str(self._render(None, record.levelname, line))


class _Text:
    """For people; no value breaks a line or steers the terminal, and the lines of a traceback look like no other."""

    def __init__(self, colours: bool) -> None:
        self._render = structlog.dev.ConsoleRenderer(colors=colours)

    def __call__(self, logger: Any, name: str, line: MutableMapping[str, Any]) -> str:
        traceback = line.pop("exception", None)
        text = self._render(logger, name, {key: _plain(value) for key, value in line.items()})
        if traceback is None:
            return text
        return "\n".join([text, *(f"    {_plain(part)}" for part in traceback.splitlines())])


def _plain(value: Any) -> Any:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in value)
