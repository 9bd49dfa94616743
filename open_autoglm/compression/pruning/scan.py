"""How sensitive a model is to the pruning of each stage: one stage at a time, share pruned against loss.

It knows stages; what is done with the loss, a plan decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from open_autoglm.modeling import OpenAutoGLM

from .calibration import Calibration
from .reconstruction import reduction
from .shares import checked_share, rounded
from .stages import State, Tower, passed, summed, through
from .towers import tower_of

SHARES = (0.25, 0.5, 0.7, 0.85)


@dataclass(frozen=True)
class Step:
    """Units kept, and the loss of that: 1 - mean cosine of the pruned model's vectors to the full one's."""

    width: int
    loss: float


@dataclass(frozen=True)
class Curve:
    """A stage's steps, from all its units to as few as were tried; parameters and work of one unit.

    ``multiple``: widths that kernels like are multiples of it.
    """

    name: str
    units: int
    multiple: int
    parameters: int
    work: float
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Scan:
    """Every stage of a ``tower`` (``vision``, ``text``) whose units may go, and the tower's ``parameters`` in all."""

    tower: str
    parameters: int
    curves: tuple[Curve, ...]


@torch.no_grad()
def sensitivity(
    model: OpenAutoGLM,
    tower: str,
    calibration: Calibration,
    held_out: Calibration,
    shares: Sequence[float] = SHARES,
    report: Callable[[Curve], None] | None = None,
) -> Scan:
    """Prunes each stage of a tower alone by each of ``shares``, and whole where it may go; maps are fitted anew.

    They are fitted on ``calibration``, and the loss is measured on ``held_out``; a few dozen of these will do.
    SettingError for a tower that cannot be pruned, and for an empty calibration.
    """
    for share in shares:
        checked_share(share)
    found = tower_of(model.eval(), tower)
    fitting, measuring = ([found.start(batch) for batch in part.batches(tower)] for part in (calibration, held_out))
    wanted = torch.cat([found.vectors(through(found, state)) for state in measuring])
    curves = []
    for number, stage in enumerate(found.stages):
        if stage.prunable:
            curves.append(curve(found, number, fitting, measuring, wanted, shares))
            if report is not None:
                report(curves[-1])
        fitting, measuring = ([passed(stage, state) for state in states] for states in (fitting, measuring))
    return Scan(tower, found.parameters, tuple(curves))


def curve(
    tower: Tower,
    number: int,
    fitting: Sequence[State],
    measuring: Sequence[State],
    wanted: Tensor,
    shares: Sequence[float],
) -> Curve:
    """The steps of one stage, from what goes into it."""
    stage = tower.stages[number]
    widths = sorted({rounded(stage, 1 - share) for share in shares} - {stage.units}, reverse=True)
    own = [summed(stage, state) for state in fitting]
    fits = reduction(stage, fitting, own).fits(widths) if widths else {}
    steps = [Step(stage.units, 0.0)]
    for width in widths:
        after = [passed(stage, state, fits[width]) for state in measuring]
        steps.append(Step(width, loss(tower, number, after, wanted)))
    if stage.removable:
        steps.append(Step(0, loss(tower, number, measuring, wanted)))
    return Curve(
        stage.name, stage.units, stage.multiple, stage.parameters, sum(map(stage.work, measuring)), tuple(steps)
    )


def loss(tower: Tower, number: int, after: Sequence[State], wanted: Tensor) -> float:
    """1 - mean cosine where stage ``number`` gives ``after``, the later stages whole."""
    got = torch.cat([tower.vectors(through(tower, state, number + 1)) for state in after])
    return max(0.0, float(1 - F.cosine_similarity(got, wanted).mean()))  # rounding may take it below
