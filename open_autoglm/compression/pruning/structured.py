"""Structured pruning, stage after stage: units go, and the map that reads the rest is fitted to the full model.

It knows stages and plans; how many units each stage keeps, a plan says.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from open_autoglm.modeling import OpenAutoGLM

from .calibration import Calibration
from .least_squares import Fit
from .plan import Plan
from .reconstruction import fitted
from .stages import Tower, passed, summed
from .towers import tower_of

Report = Callable[[str], None]


@torch.no_grad()
def prune(model: OpenAutoGLM, plan: Plan, calibration: Calibration, report: Report | None = None) -> OpenAutoGLM:
    """A copy of the model with the units that ``plan`` keeps; ``report`` is told of each stage.

    Each stage's map is fitted so that what the pruned tower gives it becomes what the full tower has there: later
    stages make up for what earlier ones lost (channel pruning, He et al., arXiv 1707.06168). SettingError for a plan of
    another model, and for an empty calibration.
    """
    narrowed = copy.deepcopy(model).eval()
    for name in plan.towers:
        prune_tower(tower_of(narrowed, name), plan, calibration.batches(name), report)
    pruned = OpenAutoGLM(narrowed.config).eval()
    pruned.load_state_dict(narrowed.state_dict())
    return pruned


def prune_tower(tower: Tower, plan: Plan, batches: Sequence[Sequence[Tensor]], report: Report | None) -> None:
    """Prunes one tower in place."""
    plan.check(tower.name, tower.stages)
    full = [tower.start(batch) for batch in batches]
    states = full
    fits: list[Fit | None] = []
    for stage in tower.stages:
        width = plan.width(stage)
        wanted = [summed(stage, state) for state in full]
        after = [stage.finish(goal, state.mask) for goal, state in zip(wanted, full, strict=True)]
        if states is full and width == stage.units:  # nothing has changed yet
            fit, states = None, after
        elif width:
            fit = fitted(stage, width, states, wanted)
            states = [passed(stage, state, fit) for state in states]
        else:
            fit = None
        full = after
        fits.append(fit)
        if report is not None:
            report(f"{stage.name}: {width} of {stage.units}")
    for stage, fit in zip(tower.stages, fits, strict=True):
        if fit is not None:
            stage.narrow(fit)
    tower.settle([plan.width(stage) for stage in tower.stages])
