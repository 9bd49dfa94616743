"""What is read off when Prometheus asks: the cache, the indexes, the models served, and the workers' memory.

It knows where each figure lies and gives what it can get: a figure that cannot be read is left out for the time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ...cache import TierStatistics
from ...errors import OpenAutoGLMError
from ..work import Models

log = logging.getLogger(__name__)


class Counted(Protocol):
    """A cache that counts, as PrefixCache does."""

    def statistics(self) -> Mapping[str, TierStatistics]:
        """By the tiers' names."""


class Measured(Protocol):
    """An index that watches itself, as Index does."""

    def __len__(self) -> int: ...

    def recall(self) -> float | None:
        """The share of the ten best that it finds of live queries, None where that is not known."""


class Readings(Collector):
    """A Prometheus collector over whatever it is given to watch."""

    def __init__(self) -> None:
        self.caches: list[Counted] = []
        self.indexes: dict[str, Measured] = {}
        self.models: list[Models] = []

    def collect(self) -> Iterator[Metric]:
        yield from _cached(self.caches)
        yield from _indexed(self.indexes)
        yield from _served(self.models)
        yield from _workers()


def _cached(caches: Sequence[Counted]) -> Iterator[Metric]:
    lookups = CounterMetricFamily(
        "autoglm_cache_lookups", "Keys asked of a tier of the cache.", labels=("tier", "result")
    )
    errors = CounterMetricFamily("autoglm_cache_errors", "Failures of a tier of the cache.", labels=("tier",))
    total: dict[str, TierStatistics] = {}
    for cache in caches:
        for tier, more in cache.statistics().items():
            so_far = total.get(tier, TierStatistics())
            total[tier] = TierStatistics(
                so_far.hits + more.hits, so_far.misses + more.misses, so_far.errors + more.errors
            )
    for tier, counts in total.items():
        lookups.add_metric((tier, "hit"), counts.hits)
        lookups.add_metric((tier, "miss"), counts.misses)
        errors.add_metric((tier,), counts.errors)
    yield from (lookups, errors)


def _indexed(indexes: Mapping[str, Measured]) -> Iterator[Metric]:
    pictures = GaugeMetricFamily("autoglm_index_pictures", "Pictures in an index.", labels=("index",))
    recall = GaugeMetricFamily(
        "autoglm_index_recall_ratio",
        "Of the ten best pictures for live queries, the share that the index found: recall@10.",
        labels=("index",),
    )
    for name, index in indexes.items():
        try:
            count, share = len(index), index.recall()
        except OpenAutoGLMError as error:
            log.warning("The figures of the index %s cannot be read: %s", name, error)
            continue
        pictures.add_metric((name,), count)
        if share is not None:
            recall.add_metric((name,), share)
    yield from (pictures, recall)


def _served(models: Sequence[Models]) -> Iterator[Metric]:
    served = GaugeMetricFamily(
        "autoglm_model_info", "1 for each model that is served, with its embedding space.", labels=("model", "space")
    )
    for name, space in {(model.name, model.space) for several in models for model in several.served}:
        served.add_metric((name, space), 1)
    yield served


def _workers() -> Iterator[Metric]:
    """Memory is counted as each process sees it: what workers share is in the figure of each."""
    sizes = []
    for child in psutil.Process(os.getpid()).children(recursive=True):
        try:
            sizes.append(child.memory_info().rss)
        except psutil.Error:  # ended since it was listed
            continue
    yield GaugeMetricFamily("autoglm_workers", "Processes below this one.", len(sizes))
    yield GaugeMetricFamily("autoglm_workers_resident_memory_bytes", "Their memory together.", sum(sizes))
