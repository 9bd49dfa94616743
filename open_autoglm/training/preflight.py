"""All that is looked at before a training: the data first, then whether the model can learn some of it by heart.

It knows which checks there are; it knows nothing about how they find what they find.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from open_autoglm.data import Records
from open_autoglm.modeling import OpenAutoGLMConfig
from open_autoglm.modeling.generator_settings import GeneratorSettings
from open_autoglm.objectives import QueueContrastive

from .building import build_model, build_objective
from .checkpoints import Identity
from .material import Splits, open_splits
from .preflight_data import check_data
from .preflight_finding import BatchPlan, Finding
from .preflight_kept import keep
from .preflight_overfit import Overfit, check_overfit, expected
from .reading import to_plain
from .recipe import Recipe
from .run import folder_of
from .trainer import Report


@dataclass(frozen=True)
class Checked:
    """``findings``, the worst first; ``overfit`` is None where it was not tried or its loss was not a number."""

    findings: tuple[Finding, ...]
    overfit: Overfit | None
    splits: Splits

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the training."""
        return all(finding.severity != "error" for finding in self.findings)


def check(
    recipe: Recipe,
    *,
    seconds: float = 180.0,
    report: Report | None = None,
    reading: Callable[[int], None] | None = None,
    looking: Callable[[int], None] | None = None,
) -> Checked:
    """Looks over the data and tries the model for about ``seconds``.

    ``reading`` is told of rows read, ``looking`` of pictures looked at, ``report`` of the trial's steps. Data that has
    errors is not learned from. What was found is kept in the run's folder, for the report of the training.
    """
    splits = open_splits(recipe.data, recipe.optimisation.seed, reading)
    config = build_model(recipe.model)[0].config
    findings = check_data(splits.named, plan_of(recipe, config), recipe.data.train.limits, looking)
    checked = Checked(findings, None, splits)
    if checked.passed:
        overfit, verdict = check_overfit(recipe, splits.train, seconds, report)
        more = [expected(overfit, recipe, len(splits.train), texts_a_step(recipe, splits.train))] if overfit else []
        checked = Checked(tuple(sorted((*findings, verdict, *more), key=lambda one: one.rank)), overfit, splits)
    keep(folder_of(recipe), Identity(to_plain(recipe), splits.fingerprints), checked.findings)
    return checked


def texts_a_step(recipe: Recipe, records: Records) -> float:
    """Captions or questions that a picture comes with, on average."""
    if recipe.task != "answer":
        return 1.0
    return float(np.mean([min(len(record.captions), recipe.data.questions) for record in records]))


def plan_of(recipe: Recipe, config: OpenAutoGLMConfig) -> BatchPlan:
    """What the recipe asks of the data."""
    made = build_objective(recipe.objectives, 1)
    queues = [one.queue.size for one in made.modules() if isinstance(one, QueueContrastive)]
    longest = config.max_text_tokens
    if recipe.task == "describe":
        longest = (config.generator_settings or GeneratorSettings()).most_tokens
    return BatchPlan(recipe.optimisation.batch_size, max(queues, default=0), max_tokens=longest)
