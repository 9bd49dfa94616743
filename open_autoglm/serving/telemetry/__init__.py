"""What is told about serving: metrics for Prometheus, traces for OpenTelemetry, and logs.

It knows requests and the work by its Observer; it knows nothing of indexes, models or who may do what.
"""

from __future__ import annotations

from ...errors import needing

with needing("Metrics and logs", "serve"):
    import prometheus_client as _prometheus_client  # noqa: F401
    import psutil as _psutil  # noqa: F401
    import structlog as _structlog  # noqa: F401

from .logs import configure_logging
from .middleware import Watch
from .request import note_model, note_texts, note_tokens
from .route import metrics_route
from .settings import TelemetrySettings
from .telemetry import Telemetry

__all__ = [
    "Telemetry",
    "TelemetrySettings",
    "Watch",
    "configure_logging",
    "metrics_route",
    "note_model",
    "note_texts",
    "note_tokens",
]
