"""Curves for a page: lines as SVG paths, and where the labels of their axes stand.

It knows numbers by step; it knows nothing about what they mean or how the page looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]
SIZE = 1000  # of the drawing each way; the page stretches it to its own size
MOST_POINTS = 600  # a line; of more, each stretch keeps its lowest and highest
SMOOTHED = 0.04  # share of a noisy line's points whose mean is its smooth one
NOISY = 50  # points from which on a line may be smoothed
LEAST, MOST = 1e-30, 1e100  # what lies beyond is taken for 0, and for no number
RESTLESS = 4  # times its own height that a line goes up and down altogether before it is


@dataclass(frozen=True)
class Series:
    """A named line: points (step, value) in the order of steps. ``dots``: few points, each of them marked."""

    name: str
    points: tuple[Point, ...]
    dots: bool = False

    @property
    def finite(self) -> list[Point]:
        """The points that can be drawn."""
        return [point for point in self.points if drawable(point[1])]


@dataclass(frozen=True)
class Tick:
    """A label and where it stands, in per cent from the left or from the top."""

    label: str
    at: float


@dataclass(frozen=True)
class Line:
    """An SVG path; ``colour`` numbers the series from 1, ``kind`` is ``line``, ``faint``, ``dots``, or ``rule`` (0)."""

    path: str
    colour: int
    kind: str


@dataclass(frozen=True)
class Chart:
    """``legend``: each series' colour, name and last value; ``rules``: a line across at each label of ``up``."""

    title: str
    note: str
    rules: tuple[Line, ...]
    lines: tuple[Line, ...]
    legend: tuple[tuple[int, str, str], ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


def chart(title: str, series: Sequence[Series], note: str = "", from_zero: bool = False) -> Chart | None:
    """A chart of all series in one scale; None where nothing can be drawn. ``from_zero``: the scale begins at 0."""
    series = [one for one in series if one.finite]
    if not series:
        return None
    points = [point for one in series for point in one.finite]
    steps, values = [x for x, _ in points], [y for _, y in points]
    low, high, up = scale(min([*values, 0.0] if from_zero else values), max(values))
    first, last = min(steps), max(steps)
    box = (first, last if last > first else first + 1, low, high)
    lines = [line for number, one in enumerate(series, 1) for line in _lines(one, number, box)]
    rules = (Line(f"M{_at((first, value), box)}H{SIZE}", 0, "rule") for value in up)
    return Chart(
        title,
        note,
        tuple(rules),
        tuple(sorted(lines, key=lambda line: ("faint", "line", "dots").index(line.kind))),
        tuple((number, one.name, number_text(one.finite[-1][1])) for number, one in enumerate(series, 1)),
        tuple(Tick(short(step), 100 * (step - box[0]) / (box[1] - box[0])) for step in _steps(first, last)),
        tuple(Tick(number_text(value), 100 * (high - value) / (high - low)) for value in up),
    )


def drawable(value: float) -> bool:
    """Whether a value is a number of a size that a scale can hold."""
    return math.isfinite(value) and abs(value) < MOST


def scale(low: float, high: float, wanted: int = 4) -> tuple[float, float, list[float]]:
    """A range that holds ``low`` and ``high``, and round numbers in it, its ends among them."""
    if high - low < 1e-12 * max(1.0, abs(high)) or high == low:
        low, high = (end + sign * (abs(end) / 10 if abs(end) > LEAST else 0.5) for sign, end in ((-1, low), (1, high)))
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [float(f"{number * step:.12g}") for number in range(first, last + 1)]
    return ticks[0], ticks[-1], ticks


def smooth(points: Sequence[Point], share: float = SMOOTHED) -> list[Point]:
    """Each point as the mean of those around it."""
    reach = max(1, round(len(points) * share / 2))
    sums = [0.0]
    for _, value in points:
        sums.append(sums[-1] + value)
    found = []
    for place, (step, _) in enumerate(points):
        start, stop = max(0, place - reach), min(len(points), place + reach + 1)
        found.append((step, (sums[stop] - sums[start]) / (stop - start)))
    return found


def restless(points: Sequence[Point]) -> bool:
    """Whether a line goes up and down so much that its course is hard to see."""
    values = [value for _, value in points]
    travelled = sum(abs(after - before) for before, after in pairwise(values))
    return len(values) >= NOISY and travelled > RESTLESS * (max(values) - min(values))


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most about ``most`` points that look the same: the lowest and highest of each stretch."""
    if len(points) <= most:
        return list(points)
    width = 2 * len(points) / most
    kept: set[int] = {0, len(points) - 1}
    for start in range(math.ceil(len(points) / width)):
        stretch = range(round(start * width), min(len(points), round((start + 1) * width)))
        if stretch:
            kept |= {min(stretch, key=lambda at: points[at][1]), max(stretch, key=lambda at: points[at][1])}
    return [points[at] for at in sorted(kept)]


def number_text(value: float) -> str:
    """Four digits at most, thousands apart, powers of ten as one writes them."""
    if value and abs(value) < 0.001:
        power = math.floor(math.log10(abs(value)) + 1e-9)
        return f"{value / 10.0**power:.3g}×10{str(power).translate(_RAISED)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def short(value: float) -> str:
    """A step as its axis names it: 500, 12k, 1.5M."""
    for size, letter in ((1_000_000, "M"), (10_000, "k")):
        if abs(value) >= size:
            return f"{value / (1_000 if letter == 'k' else size):.4g}{letter}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _steps(first: float, last: float) -> list[float]:
    """Round steps within the range, or the only one."""
    if last <= first:
        return [first]
    return [step for step in scale(first, last)[2] if first <= step <= last]


def _lines(series: Series, colour: int, box: tuple[float, float, float, float]) -> list[Line]:
    if series.dots:
        points = series.finite
        marks = "".join(f"M{_at(point, box)}h0" for point in points)
        return [Line(_path(points, box), colour, "line"), Line(marks, colour, "dots")]
    parts = [thin(part) for part in _unbroken(series.points)]
    raw = "".join(_path(part, box) for part in parts)
    if not restless(series.finite):
        return [Line(raw, colour, "line")]
    return [Line(raw, colour, "faint"), Line(_path(thin(smooth(series.finite)), box), colour, "line")]


def _unbroken(points: Sequence[Point]) -> list[list[Point]]:
    """Stretches between values that are not numbers."""
    parts: list[list[Point]] = [[]]
    for point in points:
        if drawable(point[1]):
            parts[-1].append(point)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def _path(points: Sequence[Point], box: tuple[float, float, float, float]) -> str:
    if len(points) == 1:
        return f"M{_at(points[0], box)}h0"
    return f"M{_at(points[0], box)}" + "".join(f"L{_at(point, box)}" for point in points[1:])


def _at(point: Point, box: tuple[float, float, float, float]) -> str:
    first, last, low, high = box
    x = SIZE * (point[0] - first) / (last - first)
    y = SIZE * (high - point[1]) / (high - low)
    return f"{x:.1f} {y:.1f}"


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
