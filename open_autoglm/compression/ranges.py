"""The range of every activation of a graph, from pictures or other inputs of it, by one of several rules.

It runs the float graph an input at a time and keeps a histogram of each tensor, so that memory does not grow with the
number of inputs; it knows nothing about integers in graphs or about bundles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from open_autoglm.errors import BundleError, SettingError

Method = Literal["minmax", "percentile", "entropy", "mse"]
Inputs = Mapping[str, NDArray[Any]]

BINS = 4096
MOST_VALUES = 100_000  # of one tensor and one input: enough for a histogram, and counted in a millisecond
LEVELS = 256
EVERY = 3  # rows of a map
ROWS, LOW, HIGH = ".rows", ".low", ".high"
TRIED = np.linspace(0.3, 1.0, 71)  # shares of the full range


@dataclass(frozen=True)
class RangeSettings:
    """How the range of an activation follows from its values.

    - ``minmax``: all of them.
    - ``percentile``: all but ``1 - percentile / 100`` of them.
    - ``entropy``: what changes their distribution least (Kullback-Leibler; Migacz, GTC 2017). Where many values are
      exactly 0 and exactly 6, as in the shipped towers, it cuts off far too much.
    - ``mse``: what changes them least in the mean square (as surveyed in arXiv 2004.09602).
    """

    method: Method = "mse"
    percentile: float = 99.999

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise SettingError(f"The ranges' method is {self.method!r}: it is one of {', '.join(get_args(Method))}.")
        if not 50 < self.percentile <= 100:
            raise SettingError(f"percentile is {self.percentile!r}: it must be above 50 and at most 100.")


@dataclass
class Histogram:
    """Counts of values in equal bins over ``[-reach, reach]``; where a value lies beyond, the bins are made wider."""

    reach: float = 0.0
    lowest: float = 0.0  # zero is always within a range: padding must have an exact value
    highest: float = 0.0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def add(self, values: NDArray[np.float32], low: float, high: float) -> None:
        """Counts the values, or as many of them as are enough, evenly taken; all lie between low and high."""
        flat = values.reshape(-1)
        self.lowest, self.highest = min(self.lowest, low), max(self.highest, high)
        largest = max(-low, high)
        if not self.reach:
            self.reach = largest
        while self.reach and largest > self.reach:
            self.widen()
        if self.reach:
            # A step that is odd, so that rows of a map are not always met at the same column.
            flat = flat[:: (flat.size // MOST_VALUES) | 1]
            places = ((flat + self.reach) * (BINS / (2 * self.reach))).astype(np.int32)
            self.counts += np.bincount(np.minimum(places, BINS - 1), minlength=BINS)

    def widen(self) -> None:
        """Doubles the reach: two bins become one."""
        pairs = self.counts.reshape(-1, 2).sum(axis=1)
        self.counts = np.pad(pairs, BINS // 4)
        self.reach *= 2

    @property
    def middles(self) -> NDArray[np.float64]:
        """The value in the middle of each bin."""
        places = np.arange(BINS, dtype=np.float64)
        return (places + 0.5) * np.float64(2 * self.reach / BINS) - np.float64(self.reach)


def activation_ranges(
    proto: onnx.ModelProto, tensors: Sequence[str], inputs: Iterable[Inputs], settings: RangeSettings
) -> dict[str, tuple[float, float]]:
    """Lowest and highest value to keep of each named tensor; zero lies within.

    Raises SettingError where there are no inputs, BundleError where the graph does not take them.
    """
    histograms = {name: Histogram() for name in tensors}
    parts = [name + part for name in tensors for part in (ROWS, LOW, HIGH)]
    for values in observed(sampled(proto, tensors), parts, inputs):
        for name, histogram in histograms.items():
            histogram.add(values[name + ROWS], float(values[name + LOW]), float(values[name + HIGH]))
    rule = {"minmax": minmax, "percentile": percentile, "entropy": entropy, "mse": mean_square}[settings.method]
    return {name: rule(histogram, settings) for name, histogram in histograms.items()}


def sampled(proto: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """The graph with a sample of rows of maps [n, c, h, w], and their extremes: all whole maps would fill gigabytes."""
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    for name, value in (("start", 0), ("end", 2**31 - 1), ("axis", 2), ("step", EVERY)):
        copy.graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name + ROWS))
    slicing = [name + ROWS for name in ("start", "end", "axis", "step")]
    for name in tensors:
        copy.graph.node.extend(
            [
                helper.make_node("Slice", [name, *slicing], [name + ROWS]),
                helper.make_node("ReduceMin", [name], [name + LOW], keepdims=0),
                helper.make_node("ReduceMax", [name], [name + HIGH], keepdims=0),
            ]
        )
    return copy


def observed(
    proto: onnx.ModelProto, tensors: Sequence[str], inputs: Iterable[Inputs]
) -> Iterable[dict[str, NDArray[np.float32]]]:
    """The values of inner tensors for each of the inputs."""
    watched = onnx.ModelProto.FromString(proto.SerializeToString())
    there = {output.name for output in watched.graph.output}
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in there)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # What is not kept from one input to the next is given back: memory stays flat.
    options.enable_cpu_mem_arena = False
    session = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    count = 0
    for one in inputs:
        try:
            values = session.run(list(tensors), dict(one))
        except Exception as error:  # ONNX Runtime raises its own, undocumented classes
            shapes = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in one.items())
            raise BundleError(f"The graph does not take what it is to be calibrated with ({shapes}).") from error
        yield dict(zip(tensors, values, strict=True))
        count += 1
    if not count:
        raise SettingError("There is nothing to calibrate with: give at least one picture.")


def minmax(histogram: Histogram, settings: RangeSettings) -> tuple[float, float]:
    """All values."""
    return histogram.lowest, histogram.highest


def percentile(histogram: Histogram, settings: RangeSettings) -> tuple[float, float]:
    """All but the rarest, the same share at both ends."""
    share = np.cumsum(histogram.counts) / max(1, histogram.counts.sum())
    rare = 1 - settings.percentile / 100
    low, high = int(np.searchsorted(share, rare, side="right")), int(np.searchsorted(share, 1 - rare))
    width = 2 * histogram.reach / BINS
    return (
        min(0.0, max(histogram.lowest, low * width - histogram.reach)),
        max(0.0, min(histogram.highest, min(high + 1, BINS) * width - histogram.reach)),
    )


def mean_square(histogram: Histogram, settings: RangeSettings) -> tuple[float, float]:
    """The share of the full range whose rounding and clipping together cost least."""
    counts, middles = histogram.counts, histogram.middles

    def cost(share: float) -> float:
        low, high = share * histogram.lowest, share * histogram.highest
        step = (high - low) / (LEVELS - 1)
        beyond = np.maximum(0, np.maximum(low - middles, middles - high))
        inside = beyond == 0
        return float((counts * beyond**2).sum() + (counts * inside).sum() * step**2 / 12)

    best = float(min(TRIED, key=cost))
    return best * histogram.lowest, best * histogram.highest


def entropy(histogram: Histogram, settings: RangeSettings) -> tuple[float, float]:
    """The share of the full range whose 256 levels tell most about the distribution of the values."""
    counts, middles = histogram.counts.astype(np.float64), histogram.middles

    def divergence(share: float) -> float:
        low, high = share * histogram.lowest, share * histogram.highest
        inside = (middles >= low) & (middles <= high)
        if not inside.any():
            return np.inf
        kept = counts[inside].copy()
        kept[0] += counts[middles < low].sum()
        kept[-1] += counts[middles > high].sum()
        step = max((high - low) / (LEVELS - 1), 1e-12)
        level = np.rint((middles[inside] - low) / step).astype(np.int64)
        there = kept > 0
        mass = np.bincount(level, counts[inside], minlength=LEVELS + 1)
        spread = np.bincount(level, there, minlength=LEVELS + 1)
        told = np.where(there, mass[level] / np.maximum(spread[level], 1), 0)
        p, q = kept / kept.sum(), told / max(told.sum(), 1e-12)
        return float((p[there] * np.log(p[there] / np.maximum(q[there], 1e-12))).sum())

    best = float(min(TRIED, key=divergence))
    return best * histogram.lowest, best * histogram.highest
