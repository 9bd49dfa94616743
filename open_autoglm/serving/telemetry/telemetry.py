"""All that is told about one application: its metrics, its traces, and what they are read from.

It is the Observer of the work, and knows what to do with what it is told; it knows nothing of HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector

from ..work import Models
from .genai import TASKS
from .labels import FirstNames, Names
from .metrics import Metrics
from .readings import Counted, Measured, Readings
from .settings import TelemetrySettings
from .spans import open_tracing
from .traceparent import TraceParent
from .watched import WatchedModels

STAGES = frozenset({"queue", "decode", "inference", "encode"})


class Telemetry:
    """An Observer, safe to use from several threads. Raises MissingExtra where traces lack their packages."""

    def __init__(self, settings: TelemetrySettings | None = None) -> None:
        self.settings = settings or TelemetrySettings()
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, with_tenants=self.settings.tenants > 0)
        self.tracing = open_tracing(self.settings)
        self._readings = Readings()
        self._models = Names(self._served)
        self._tasks, self._stages = Names(lambda: TASKS), Names(lambda: STAGES)
        self._known_stages: dict[tuple[str, ...], Histogram] = {}
        self.tenants = FirstNames(self.settings.tenants)
        self.registry.register(self._readings)
        ProcessCollector(registry=self.registry)

    def watch_models(self, models: Models) -> Models:
        """The same models, watched; metrics know models by the names under which they are served."""
        self._readings.models.append(models)
        return WatchedModels(models, self)

    def watch_index(self, index: Measured, name: str = "default") -> None:
        """Metrics give the size and the recall of an index from now on."""
        self._readings.indexes[name] = index

    def watch_cache(self, cache: Counted) -> None:
        """Metrics give the hits of a cache from now on, beside those of others."""
        self._readings.caches.append(cache)

    def model_label(self, name: str) -> str:
        """A model's name where such a model is or was served."""
        return self._models.label(name)

    def stage(
        self, name: str, model: str, task: str, seconds: float, trace: str = "", ended: float | None = None
    ) -> None:
        """As Observer says."""
        parent = TraceParent.recorded(trace)
        exemplar = {"trace_id": parent.trace_id} if parent is not None else None
        self._stage(name, model, task).observe(seconds, exemplar)
        if parent is not None:
            ended = time.time() if ended is None else ended
            about = _about(self.model_label(model), self._tasks.label(task))
            span = self.tracing.start(name, parent, about, started=ended - seconds)
            span.end(ended=ended)

    def _stage(self, *named: str) -> Histogram:
        """The histogram of a stage, a model and a task; that of known names is looked up but once."""
        if (found := self._known_stages.get(named)) is None:
            name, model, task = named
            labels = (self._stages.label(name), self.model_label(model), self._tasks.label(task))
            found = self.metrics.stage_seconds.labels(*labels)
            if labels == named:
                self._known_stages[named] = found
        return found

    def batch(
        self,
        model: str,
        task: str,
        size: int,
        seconds: float = 0.0,
        traces: Sequence[str] = (),
        ended: float | None = None,
    ) -> None:
        """As Observer says; the span lies in the first recorded job's trace, and links to all."""
        labels = (self.model_label(model), self._tasks.label(task))
        self.metrics.batch_size.labels(*labels).observe(size)
        links = [parent for trace in dict.fromkeys(traces) if (parent := TraceParent.recorded(trace)) is not None]
        if links:
            ended = time.time() if ended is None else ended
            about = {**_about(*labels), "autoglm.batch.size": size}
            self.tracing.start("batch", links[0], about, links=links, started=ended - seconds).end(ended=ended)

    def waiting(self, more: int) -> None:
        """As Observer says."""
        self.metrics.waiting.inc(more)

    def restarted(self) -> None:
        """As Observer says."""
        self.metrics.restarts.inc()

    def answered(self, model: str, task: str, result: str, count: int) -> None:
        """So many jobs ended in this way."""
        self.metrics.jobs.labels(self.model_label(model), self._tasks.label(task), result).inc(count)

    def close(self) -> None:
        """Sends what traces are left."""
        self.tracing.close()

    def _served(self) -> Iterable[str]:
        return (model.name for models in self._readings.models for model in models.served)


def _about(model: str, task: str) -> dict[str, str | int]:
    return {"gen_ai.response.model": model, "autoglm.task": task}
