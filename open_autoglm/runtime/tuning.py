"""Finds what runs a bundle's graphs fastest on this machine: engine, precision, threads and pictures at once.

It knows graphs, engines and time; it knows nothing about what the graphs are for, nor where the choice is kept.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle
from open_autoglm.errors import BundleError, MissingExtra

from .engine import Engine, available_cores
from .engines import DEFAULT, ENGINES
from .recording import Call, recorded_calls
from .tuned import Choice, Tuned

SECONDS = 30.0  # for all graphs, besides loading each with every engine
WORTH = 0.9  # of the default's time: what something else may take at most to be chosen
AS_GOOD = 1.05  # of the fastest: what fewer threads, or a smaller batch, may take
BATCHES = (1, 2, 4, 8, 16)
ROUNDS = 15
LOWEST_COSINE = {"fp32": 0.9999}  # with the default engine, of the numbers for one picture, sentence or token
LOWEST_COSINE_OTHERWISE = 0.97

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
        named = next(name for name, graph in precisions.items() if graph is self._bundle.graph(self._task))
        default = Choice(DEFAULT, named, cores)
        rivals = [Choice(engine, precision, cores) for engine in engines for precision in precisions]
        usable = [choice for choice in rivals if choice == default or self._agrees(choice)]
        times = self._timed(usable, self._seconds / 2)
        chosen = min(times, key=lambda choice: times[choice])
        if times[chosen] > WORTH * times[default]:
            chosen = default
        if cores > 1:
            fewer = [Choice(chosen.engine, chosen.precision, count) for count in thread_counts(cores)]
            again = self._timed(list(dict.fromkeys([*fewer, chosen, default])), self._seconds / 4)
            fastest = min(again[choice] for choice in fewer)
            chosen = next(choice for choice in fewer if again[choice] <= AS_GOOD * fastest)
            times |= again
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
            cosine = lowest_cosine(*(self._call(self._engine(one))[0] for one in (reference, choice)))
        except BundleError as error:
            self.refused.append(str(error))
            return False
        wanted = LOWEST_COSINE.get(choice.precision, LOWEST_COSINE_OTHERWISE)
        if cosine < wanted:
            self.refused.append(
                f"The {choice.precision} graph of {self._task} gives other numbers with {choice.engine} "
                f"(cosine {cosine:.4f}, at least {wanted} is asked): it is not used."
            )
        return cosine >= wanted

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


def lowest_cosine(wanted: NDArray[np.float32], got: NDArray[np.float32]) -> float:
    """Of vectors [..., d]."""
    lengths = np.linalg.norm(wanted, axis=-1) * np.linalg.norm(got, axis=-1)
    return float(((wanted * got).sum(axis=-1) / np.maximum(lengths, np.finfo(np.float32).tiny)).min())


def thread_counts(cores: int) -> list[int]:
    """One, half of the cores, and all of them."""
    return sorted({1, max(1, cores // 2), cores})
