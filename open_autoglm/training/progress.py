"""How a training looks while it runs: one bar on a terminal, a line now and then elsewhere.

It knows rich and a training's figures; it knows nothing about how they came about.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .trainer import Progress as Moment
from .trainer import Report

SPEEDS = ("pairs", "pictures")
_SECONDS = 60  # between two lines where there is no terminal


@contextmanager
def watched(doing: str = "Training", ends: bool = True) -> Iterator[Report]:
    """Shows what it is told on stderr; nothing before it is told something.

    ``ends``: whether it goes on to its last step, so that the time left can be told.
    """
    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:
        yield Lines(ends).report
        return
    left = (TimeRemainingColumn(),) if ends else ()
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"), *left)
    bars = Progress(TextColumn(doing), *columns, console=console, transient=True)
    task = bars.add_task(doing, total=None, figures="")

    def report(moment: Moment) -> None:
        bars.start()
        if moment.evaluation:
            console.print(evaluated(moment))
        else:
            bars.update(task, completed=moment.step, total=moment.steps, figures=in_words(moment.figures))

    try:
        yield report
    finally:
        bars.stop()


@contextmanager
def counted(what: str) -> Iterator[Callable[[int], None]]:
    """A counter on stderr, where it is a terminal; nothing before it is told something."""
    console = Console(stderr=True, highlight=False)
    told = 0

    def count(number: int) -> None:
        nonlocal told
        told = number
        console.print(f"{what}: {number:,}", end="\r")

    yield count if console.is_terminal else lambda number: None
    if told:
        console.print()


class Lines:
    """Plain lines: every evaluation, and a step a minute."""

    def __init__(self, ends: bool = True) -> None:
        self.ends = ends
        self.started = self.last = time.monotonic()
        self.first: int | None = None

    def report(self, moment: Moment) -> None:
        """Prints, where it is time to."""
        now = time.monotonic()
        if self.first is None:
            self.first, self.started = moment.step, now
        if moment.evaluation:
            print(evaluated(moment), file=sys.stderr, flush=True)  # noqa: T201
        elif now - self.last >= _SECONDS or moment.step == self.first:
            self.last = now
            done = moment.step - self.first
            rest = (now - self.started) / max(1, done) * (moment.steps - moment.step)
            left = f", {duration(rest)} left" if done and self.ends else ""
            text = f"step {moment.step:,} of {moment.steps:,}: {in_words(moment.figures)}{left}"
            print(text, file=sys.stderr, flush=True)  # noqa: T201


def evaluated(moment: Moment) -> str:
    """An evaluation in a line."""
    figures = ", ".join(f"{name.replace('_', ' ')} {shown(name, value)}" for name, value in moment.figures.items())
    return f"step {moment.step:,} of {moment.steps:,}, validation: {figures}"


def shown(name: str, value: float) -> str:
    """A figure of an evaluation: shares in percent, a loss as it is."""
    return f"{value:.3f}" if name == "loss" else f"{value:.1%}"


def in_words(figures: dict[str, float]) -> str:
    """Loss, R@1 or accuracy in the batch, temperature and speed."""
    recalls = [value for name, value in figures.items() if name.endswith("_r1")]
    parts = [f"loss {figures['loss']:.3f}"]
    parts += [f"R@1 {sum(recalls) / len(recalls):.0%}"] if recalls else []
    parts += [f"{name.replace('_', ' ')} {value:.0%}" for name, value in figures.items() if name.endswith("accuracy")]
    parts += [f"temperature {figures['temperature']:.3f}"] if "temperature" in figures else []
    speeds = [f"{figures[f'{what}_per_second']:,.0f} {what}/s" for what in SPEEDS if f"{what}_per_second" in figures]
    return " · ".join([*parts, *speeds])


def duration(seconds: float) -> str:
    """A time in words."""
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"
