"""What a trace is made of, for all that tells about work: spans, and who records them, if anybody does.

It knows the shape of a span; it knows nothing of OpenTelemetry, which recording.py alone imports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from .settings import TelemetrySettings
from .traceparent import TraceParent

Attributes = Mapping[str, str | int | float | bool]


class Span(Protocol):
    """A piece of work that has begun."""

    @property
    def own(self) -> TraceParent:
        """What work below it names as its parent."""

    def end(
        self, attributes: Attributes | None = None, *, name: str = "", failed: bool = False, ended: float | None = None
    ) -> None:
        """It is over, now or at ``ended``; ``name`` where it became known late."""


class Tracing(Protocol):
    """Whoever records spans; times are seconds since 1970, None is now."""

    recording: bool

    def start(
        self,
        name: str,
        parent: TraceParent | None = None,
        attributes: Attributes | None = None,
        *,
        server: bool = False,
        links: Sequence[TraceParent] = (),
        started: float | None = None,
    ) -> Span:
        """A span below ``parent``, or a trace of its own; ``server``: it answers another program."""

    def close(self) -> None:
        """Sends what is left, and ends."""


class _Unrecorded:
    """A span that nobody records, but that has its place in a trace."""

    __slots__ = ("own",)

    def __init__(self, own: TraceParent) -> None:
        self.own = own

    def end(
        self, attributes: Attributes | None = None, *, name: str = "", failed: bool = False, ended: float | None = None
    ) -> None:
        return


class NoTracing:
    """Records nothing; log lines and replies have trace ids all the same."""

    recording = False

    def start(
        self,
        name: str,
        parent: TraceParent | None = None,
        attributes: Attributes | None = None,
        *,
        server: bool = False,
        links: Sequence[TraceParent] = (),
        started: float | None = None,
    ) -> Span:
        if parent is None:
            return _Unrecorded(TraceParent.new())
        return _Unrecorded(parent.child() if parent.sampled else parent)

    def close(self) -> None:
        return


def open_tracing(settings: TelemetrySettings) -> Tracing:
    """Whoever records what settings ask for. Raises MissingExtra without the packages."""
    if not settings.traces:
        return NoTracing()
    from .recording import Recording

    return Recording(settings)
