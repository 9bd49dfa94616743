"""Finds what runs a bundle's graphs fastest on this machine: engine, precision, threads and pictures at once.

It knows graphs, engines and time; it knows nothing about what the graphs are for, nor where the choice is kept.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle
from open_autoglm.errors import BundleError, MissingExtra

from .engine import Engine, available_cores
from .engines import DEFAULT, ENGINES
from .model import default_precision
from .recording import Call, recorded_calls
from .similarity import unit
from .tuned import Choice, Tuned

SECONDS = 30.0  # for all graphs, besides loading each with every engine
WORTH = 0.9  # of the default's time: what something else may take at most to be chosen
AS_GOOD = 1.05  # of the fastest: what fewer threads, or a smaller batch, may take
BATCHES = (1, 2, 4, 8, 16)
ROUNDS = 15
MOST_APART = {"fp32": 0.014}  # from the default engine's numbers; of vectors, a cosine of 0.9999
MOST_APART_OTHERWISE = 0.245  # a cosine of 0.97

T = TypeVar("T")
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Measured:
    """A graph's choice, and milliseconds a run with it and with the default."""

    task: str
    choice: Choice
    milliseconds: float
    default: float

    @property
    def times_faster(self) -> float:
        """1 where the default is the choice."""
        return self.default / self.milliseconds


@dataclass(frozen=True)
class Tuning:
    """What was found: a row a graph, and ``refused``, a sentence for each engine that cannot run here."""

    rows: tuple[Measured, ...]
    batch_size: int
    refused: tuple[str, ...]
    seconds: float

    @property
    def tuned(self) -> Tuned:
        """What is kept of it."""
        return Tuned({row.task: row.choice for row in self.rows}, self.batch_size)


def tune(bundle: Bundle, report: Report) -> Tuning:
    """Measures every graph that the model's own use comes by; ``report`` is told how many of how many are done."""
    began = time.perf_counter()
    calls = recorded_calls(bundle)
    engines, refused = usable_engines()
    rows, batch_size = list[Measured](), 1
    for number, (task, call) in enumerate(calls.items()):
        left = began + SECONDS - time.perf_counter()
        share = max(0.0, left / (len(calls) - number))
        bench = Bench(bundle, task, call, share)
        rows.append(bench.best(engines))
        refused += bench.refused
        if task == "image":
            batch_size = bench.best_batch(rows[-1].choice)
        report(number + 1, len(calls))
    return Tuning(tuple(rows), batch_size, tuple(refused), time.perf_counter() - began)


def usable_engines() -> tuple[list[str], list[str]]:
    """The engines that are installed, the default first, and why the others are not."""
    usable, refused = list[str](), list[str]()
    for name, engine in ENGINES.items():
        try:
            engine.check()
            usable.append(name)
        except MissingExtra as error:
            refused.append(str(error))
    return usable, refused


class Bench:
    """One graph, asked one thing, for about ``seconds``: half for engine and precision, the rest for what is left."""

    def __init__(self, bundle: Bundle, task: str, call: Call, seconds: float) -> None:
        self._bundle, self._task, self._call, self._seconds = bundle, task, call, seconds
        self._loaded: dict[Choice, Engine] = {}
        self.refused: list[str] = []

    def best(self, engines: Sequence[str]) -> Measured:
        """The choice."""
        precisions = self._bundle.manifest.graphs[self._task]
        cores = available_cores()
        default = Choice(DEFAULT, default_precision(self._bundle, self._task), cores)
        rivals = [Choice(engine, precision, cores) for engine in engines for precision in precisions]
        usable = [choice for choice in rivals if choice == default or self._agrees(choice)]
        times = self._timed(usable, self._seconds / 2)
        chosen = kept_or(default, min(times, key=lambda choice: times[choice]), times)
        if cores > 1:
            ways = dict.fromkeys([default, chosen])
            numbers = [replace(way, threads=count) for way in ways for count in thread_counts(cores)]
            times |= self._timed(numbers, self._seconds / 4)
            chosen = kept_or(enough_threads(default, times), enough_threads(chosen, times), times)
        return Measured(self._task, chosen, 1000 * times[chosen], 1000 * times[default])

    def best_batch(self, choice: Choice) -> int:
        """How many pictures at once: the smallest number that takes little longer a picture than the best one."""
        engine = self._engine(choice)
        runs = {count: partial(self._call.repeated(count), engine) for count in BATCHES}
        times = alternated(runs, self._seconds / 4)
        each = {count: taken / count for count, taken in times.items()}
        return next(count for count in BATCHES if each[count] <= AS_GOOD * min(each.values()))

    def _agrees(self, choice: Choice) -> bool:
        """Whether a choice can be loaded and gives what the default engine gives for the same graph."""
        reference = Choice(DEFAULT, choice.precision, choice.threads)
        try:
            sides = (self._call(self._engine(one)) for one in (reference, choice))
            found = float(np.max([apart(*outputs) for outputs in zip(*sides, strict=True)]))
        except BundleError as error:
            self.refused.append(str(error))
            return False
        most = MOST_APART.get(choice.precision, MOST_APART_OTHERWISE)
        if not (agrees := found <= most):  # NaN is never as little
            self.refused.append(
                f"The {choice.precision} graph of {self._task} gives other numbers with {choice.engine} "
                f"({found:.1%} apart, at most {most:.1%} is allowed): it is not used."
            )
        return agrees

    def _timed(self, choices: Sequence[Choice], seconds: float) -> dict[Choice, float]:
        return alternated({choice: partial(self._call, self._engine(choice)) for choice in choices}, seconds)

    def _engine(self, choice: Choice) -> Engine:
        if choice not in self._loaded:
            graph = self._bundle.graph(self._task, choice.precision)
            self._loaded[choice] = Engine(self._bundle, graph, choice.threads, choice.engine)
        return self._loaded[choice]


def alternated(runs: Mapping[T, Callable[[], object]], seconds: float) -> dict[T, float]:
    """Median seconds of each, one after the other, round by round while there is time; each has run before."""
    began = time.perf_counter()
    for run in runs.values():
        run()
    times: dict[T, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
        if time.perf_counter() - began > seconds:
            break
    return {name: statistics.median(measured) for name, measured in times.items()}


def kept_or(default: Choice, rival: Choice, times: Mapping[Choice, float]) -> Choice:
    """The rival where it is worth leaving the default."""
    return rival if times[rival] <= WORTH * times[default] else default


def enough_threads(choice: Choice, times: Mapping[Choice, float]) -> Choice:
    """The same with the fewest threads that take little longer than the best number of them."""
    numbers = [replace(choice, threads=count) for count in thread_counts(choice.threads)]
    fastest = min(times[number] for number in numbers)
    return next(number for number in numbers if times[number] <= AS_GOOD * fastest)


def apart(wanted: NDArray[np.float32], got: NDArray[np.float32]) -> float:
    """The farthest that vectors [..., d] lie apart, each made unit length.

    Single numbers, [n] or [..., 1], have no direction: their farthest, as a share of the largest wanted or of 1, so
    that those close to 0 may differ as others do.
    """
    if wanted.ndim == 1 or wanted.shape[-1] == 1:
        return float(np.abs(got - wanted).max() / max(1.0, float(np.abs(wanted).max())))
    return float(np.linalg.norm(unit(got) - unit(wanted), axis=-1).max())


def thread_counts(cores: int) -> list[int]:
    """One, half of the cores, and all of them."""
    return sorted({1, max(1, cores // 2), cores})
