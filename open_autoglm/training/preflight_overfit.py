"""Tries whether the model can learn at all: a few pairs, as they are, until it knows them by heart.

It knows recipes and the trainer; it knows nothing about what may be wrong with the data.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from transformers import TrainerCallback

from open_autoglm.data import Records
from open_autoglm.errors import TrainingError

from .material import Splits
from .preflight_finding import Finding, Severity
from .progress import duration
from .recipe import Evaluation, Output, Recipe
from .run import start
from .trainer import RecipeTrainer, Report

PAIRS = 128
STEPS = 400
LEARNED = 0.9  # R@1 from which the pairs count as known by heart
FEW = 20  # steps that say nothing yet, where the time was up
MOVED = 0.1  # share by which the loss falls at least where anything is learned
_NAME = "overfit"


@dataclass(frozen=True)
class Overfit:
    """What became of the trial.

    ``recall``: R@1 of the pairs among each other, both ways, as the bundle would have it; ``in_batch``: the same within
    the last batches, in training mode. ``losses``: the first and the last. ``pairs_per_second``: of a typical step.
    """

    pairs: int
    steps: int
    seconds: float
    recall: float
    in_batch: float
    losses: tuple[float, float]
    pairs_per_second: float


def check_overfit(
    recipe: Recipe, records: Records, seconds: float = 180.0, report: Report | None = None
) -> tuple[Overfit | None, Finding]:
    """Learns up to 128 pairs of the training data for at most so many ``seconds``, and says what to change.

    Without augmentation, schedule, momentum and average; otherwise as the recipe says. None where the loss was not a
    number.
    """
    chosen = few(records, PAIRS, recipe.optimisation.seed)
    with TemporaryDirectory(prefix="autoglm-") as folder:
        trial = shortened(recipe, len(chosen))
        splits, callbacks = Splits(chosen, chosen), [Enough(seconds, trial.metric)]
        run = start(trial, Path(folder), report, splits=splits, callbacks=callbacks, saving=False)
        begun = time.monotonic()
        try:
            run.trainer.train()
        except TrainingError as error:
            return None, Finding(_NAME, "error", f"Learning {len(chosen)} pairs by heart failed.", str(error))
        if run.trainer.interruption.requested:
            raise KeyboardInterrupt  # what a trial that was stopped would say is nothing to go by
        found = outcome(run.trainer, len(chosen), time.monotonic() - begun)
        config = run.trainer.module.model.config
    return found, verdict(found, recipe, several_views=bool(config.whole_sizes or config.region_grids))


def few(records: Records, count: int, seed: int) -> Records:
    """So many records at most, of different labels first."""
    order = np.random.default_rng(seed).permutation(len(records))
    first = np.unique(records.labels[order], return_index=True)[1]
    rest = np.setdiff1d(np.arange(len(order)), first)
    return records.select(order[np.concatenate([np.sort(first), rest])[:count]].tolist())


def shortened(recipe: Recipe, pairs: int) -> Recipe:
    """The recipe without what keeps a model from learning by heart."""
    settings = recipe.optimisation
    return replace(
        recipe,
        name=_NAME,
        momentum=None,
        data=replace(recipe.data, augmentation=None, workers=0, distinct_labels=False),
        optimisation=replace(
            settings,
            steps=STEPS,
            batch_size=min(settings.batch_size, pairs),
            accumulation=1,
            schedule="constant",
            warmup=0.0,
            average=None,
        ),
        evaluation=Evaluation(every=10, pictures=pairs, ks=(1,)),
        output=Output(log_every=1),
    )


def outcome(trainer: RecipeTrainer, pairs: int, seconds: float) -> Overfit:
    """What the log says."""
    lines = trainer.run_log.lines()
    steps = [line for line in lines if "loss" in line]
    recalls = [line["eval"][trainer.recipe.metric] for line in lines if "eval" in line]
    batches = [value for line in steps[-5:] for name, value in line.items() if name.endswith(("_r1", "accuracy"))]
    return Overfit(
        pairs,
        trainer.state.global_step,
        seconds,
        max(recalls, default=0.0),
        float(np.mean(batches)) if batches else 0.0,
        (steps[0]["loss"], float(np.mean([line["loss"] for line in steps[-5:]]))),
        float(np.median([line["pairs_per_second"] for line in steps])),
    )


def verdict(found: Overfit, recipe: Recipe, several_views: bool = False) -> Finding:
    """What to make of it, in plain words; ``several_views``: whether the model looks at a picture more than once."""
    settings = recipe.optimisation
    trial = f"{found.pairs} pairs for {found.steps} steps ({found.seconds:.0f} s)"
    loss = f"the loss went from {found.losses[0]:.3f} to {found.losses[1]:.3f}"
    frozen = f", or learn more than frozen {', '.join(settings.frozen)} leaves" if settings.frozen else ""
    if found.recall >= LEARNED:
        what = f"The model can learn: after {trial} it finds {found.recall:.0%} of them first."
        return finding("note", what, "Go on.")
    if found.steps < min(FEW, STEPS):
        views = ", whole_sizes and region_grids of model.config []" if several_views else ""
        advice = f"For a surer answer make steps quicker: a smaller model.training_size, more frozen{views}."
        return finding("warning", f"The trial was too slow to tell: {trial}; {loss}.", advice)
    if found.in_batch >= LEARNED:
        what = f"After {trial} the model knows its batches ({found.in_batch:.0%} first), but only in training mode"
        advice = "Batch normalisation lags behind: freeze vision.tower, give it a lower rate, or train longer."
        return finding("warning", f"{what} ({found.recall:.0%}).", advice)
    if found.losses[1] > (1 - MOVED) * found.losses[0]:
        advice = f"Raise optimisation.learning_rate ({settings.learning_rate:g}) three to ten times{frozen}."
        return finding("error", f"The model hardly learns {trial}: {loss}.", advice)
    advice = f"Give it more epochs or a higher optimisation.learning_rate ({settings.learning_rate:g}){frozen}."
    return finding("warning", f"After {trial} the model finds {found.recall:.0%} of them first; {loss}.", advice)


def expected(found: Overfit, recipe: Recipe, pictures: int, texts: float = 1.0) -> Finding:
    """How long the training of so many pictures takes, as far as the trial can tell; ``texts`` of each in a step."""
    settings = recipe.optimisation
    batches = settings.steps * settings.accumulation * settings.batch_size if settings.steps else None
    pairs = (batches or settings.epochs * pictures) * texts
    speed = found.pairs_per_second
    what = f"The training takes about {duration(pairs / speed)} on this machine"
    return finding("note", f"{what}: {pairs:,.0f} pairs at {speed:,.1f} a second.", "Evaluations come on top.")


def finding(severity: Severity, what: str, advice: str) -> Finding:
    """A finding of this check."""
    return Finding(_NAME, severity, what, advice)


class Enough(TrainerCallback):
    """Stops when the pairs are known, or the time is over."""

    def __init__(self, seconds: float, metric: str) -> None:
        self.seconds, self.metric = seconds, metric
        self.started = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if time.monotonic() - self.started >= self.seconds:
            control.should_training_stop = control.should_evaluate = control.should_log = True

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        if metrics and metrics[f"eval_{self.metric}"] >= LEARNED:
            control.should_training_stop = True
