"""Spans recorded by OpenTelemetry and sent in batches to a collector, as OTLP over HTTP.

It knows OpenTelemetry; it knows nothing of what the spans are about. Nothing is registered with OpenTelemetry's global
state, so that two applications in one process do not share a collector.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from importlib.metadata import version
from urllib.parse import urlsplit

from ...errors import needing
from .settings import TelemetrySettings
from .spans import Attributes, Span
from .traceparent import TraceParent

with needing("Sending traces", "traces"):
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

# A collector that is gone must hold up neither the requests nor the end of the process.
_SECONDS = 2.0
_WAITING_SPANS = 8192
log = logging.getLogger(__name__)


class Recording:
    """Records the share of traces that settings ask for, and none of which the caller says that nobody does."""

    recording = True

    def __init__(self, settings: TelemetrySettings) -> None:
        # The same share of traces that a caller has sampled: a header must not decide how much is stored.
        share = TraceIdRatioBased(settings.trace_share)
        resource = Resource.create({"service.name": settings.service, "service.version": version("open-autoglm")})
        self._provider = TracerProvider(ParentBased(share, remote_parent_sampled=share), resource)
        self._collector = _Collector(settings.traces)
        self._provider.add_span_processor(BatchSpanProcessor(self._collector, _WAITING_SPANS))
        self._tracer = self._provider.get_tracer("open_autoglm.serving")

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
        above = trace.set_span_in_context(trace.NonRecordingSpan(_context(parent))) if parent is not None else None
        return _Recorded(
            self._tracer.start_span(
                name,
                above,
                trace.SpanKind.SERVER if server else trace.SpanKind.INTERNAL,
                attributes,
                [trace.Link(_context(link)) for link in links],
                _nanoseconds(started),
            )
        )

    def close(self) -> None:
        self._collector.hurry()
        self._provider.shutdown()


class _Collector(SpanExporter):
    """Where spans are sent. That it cannot be reached is said once, and that it can be again."""

    def __init__(self, address: str) -> None:
        self._host = urlsplit(address).netloc.rpartition("@")[2]
        self._exporter = OTLPSpanExporter(address, timeout=_SECONDS)
        self._gone = False
        self._until = float("inf")

    def hurry(self) -> None:
        """Sends no more once as much time has passed as one attempt may take."""
        self._until = time.monotonic() + _SECONDS

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if time.monotonic() > self._until:
            return SpanExportResult.FAILURE
        result = self._exporter.export(spans)
        gone = result is not SpanExportResult.SUCCESS
        if gone and not self._gone:
            log.warning("Traces cannot be sent to %s: they are lost until it answers.", self._host)
        elif self._gone and not gone:
            log.warning("Traces can be sent to %s again.", self._host)
        self._gone = gone
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _Recorded:
    __slots__ = ("_span", "own")

    def __init__(self, span: trace.Span) -> None:
        context = span.get_span_context()
        self._span = span
        self.own = TraceParent(
            trace.format_trace_id(context.trace_id),
            trace.format_span_id(context.span_id),
            context.trace_flags.sampled,
        )

    def end(
        self, attributes: Attributes | None = None, *, name: str = "", failed: bool = False, ended: float | None = None
    ) -> None:
        if self.own.sampled:
            self._span.set_attributes(attributes or {})
            if name:
                self._span.update_name(name)
            if failed:
                self._span.set_status(trace.StatusCode.ERROR)
        self._span.end(_nanoseconds(ended))


def _context(parent: TraceParent) -> trace.SpanContext:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if parent.sampled else trace.TraceFlags.DEFAULT)
    return trace.SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)


def _nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1e9)
