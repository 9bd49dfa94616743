"""Every metric that is counted as things happen: its name, its labels and its buckets.

It knows Prometheus; it knows nothing of who counts. What is read off when Prometheus asks is in readings.py.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Work takes from a tenth of a millisecond (a hit in the cache) to minutes (a long description).
SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one application, in a ``registry`` of its own; requests by tenant only ``with_tenants``."""

    def __init__(self, registry: CollectorRegistry, with_tenants: bool) -> None:
        tenant = ("tenant",) if with_tenants else ()
        self.requests = Counter(
            "autoglm_http_requests",
            "Requests answered, by the route's template; other is what no route takes.",
            ("method", "route", "status", *tenant),
            registry=registry,
        )
        self.request_seconds = Histogram(
            "autoglm_http_request_duration_seconds",
            "From a request's head to the last byte of its reply.",
            ("method", "route"),
            buckets=SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "autoglm_http_requests_in_flight", "Requests that are being answered now.", registry=registry
        )
        self.stage_seconds = Histogram(
            "autoglm_stage_duration_seconds",
            "How long an item was in a stage of the work: queue, decode, inference or encode.",
            ("stage", "model", "task"),
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "autoglm_batch_size", "Items that ran at once.", ("model", "task"), buckets=SIZES, registry=registry
        )
        self.jobs = Counter(
            "autoglm_jobs",
            "Items asked of models, by what became of them: ok, mistake, refused, expired, cancelled, died or failed.",
            ("model", "task", "result"),
            registry=registry,
        )
        self.waiting = Gauge("autoglm_jobs_waiting", "Items that wait for a worker now.", registry=registry)
        self.restarts = Counter(
            "autoglm_worker_restarts", "Workers that died and were started again.", registry=registry
        )
