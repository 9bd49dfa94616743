"""How many units each stage of the towers keeps, and how a budget is shared out among them.

It knows what a scan measured; it knows nothing about weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from open_autoglm.errors import SettingError

from .scan import Curve, Scan, Step
from .shares import checked_share
from .stages import Stage


@dataclass(frozen=True)
class Plan:
    """``widths``: by a stage's name, the units that it keeps, 0 for one that goes; other stages keep all of theirs."""

    widths: Mapping[str, int] = field(default_factory=dict)

    def width(self, stage: Stage) -> int:
        """Units that a stage keeps."""
        return self.widths.get(stage.name, stage.units)

    @property
    def towers(self) -> list[str]:
        """Those that it prunes. SettingError for a plan that prunes nothing."""
        if not self.widths:
            raise SettingError("The plan prunes nothing: name stages and how many units they keep.")
        return sorted({name.split(".")[0] for name in self.widths})

    def check(self, tower: str, stages: Sequence[Stage]) -> None:
        """Raises SettingError for what does not fit a tower's stages."""
        known = {stage.name: stage for stage in stages}
        for name, width in self.widths.items():
            if not name.startswith(f"{tower}."):
                continue
            if name not in known:
                raise SettingError(f"The plan prunes {name}, and the model has only {', '.join(known)}.")
            stage = known[name]
            least = 0 if stage.removable else 1
            if not least <= width <= stage.units or (width < stage.units and not stage.prunable):
                most = stage.units if stage.prunable else f"all {stage.units}"
                raise SettingError(f"{name} cannot keep {width} units: it keeps {least} to {most} of them.")


def plan_for(scan: Scan, share: float, time: float = 0.75) -> Plan:
    """The plan that takes ``share`` of the scanned tower's parameters away at the least loss that the scan foresees.

    Units go where the loss grows least for what they are worth; of that, ``time`` is how much their share of the work
    counts, the rest being their share of the parameters. SettingError for shares outside of their range, and for one
    that the tower's stages do not have.
    """
    checked_share(share)
    if not 0 <= time <= 1:
        raise SettingError(f"The weight of time is a number from 0 to 1, and not {time}.")
    work = sum(curve.work * curve.units for curve in scan.curves)
    ladders = [
        Ladder(curve, (1 - time) * curve.parameters / scan.parameters + time * curve.work / work)
        for curve in scan.curves
    ]
    while (gone := sum(ladder.gone for ladder in ladders)) < share * scan.parameters:
        moves = [move for ladder in ladders if (move := ladder.move()) is not None]
        if not moves:
            most = gone / scan.parameters
            raise SettingError(f"Only {most:.0%} of the parameters of {scan.tower} can be taken away, not {share:.0%}.")
        moves.sort(key=lambda move: move[0])
        _, ladder, rung = moves[0]
        ladder.rung = rung
    return Plan({ladder.curve.name: ladder.width for ladder in ladders if ladder.rung})


class Ladder:
    """A stage on its way down: rungs are the widths that it may have, each with the loss read off its curve."""

    def __init__(self, curve: Curve, worth: float) -> None:
        self.curve, self.worth = curve, worth
        self.rungs = list(rungs(curve))
        self.rung = 0

    @property
    def width(self) -> int:
        """Units kept on the present rung."""
        return self.rungs[self.rung].width

    @property
    def gone(self) -> int:
        """Parameters gone so far."""
        return (self.curve.units - self.width) * self.curve.parameters

    def move(self) -> tuple[float, Ladder, int] | None:
        """The further rung that costs the least loss for what it is worth, its price first; None at the end."""
        here = self.rungs[self.rung]
        prices = [
            ((rung.loss - here.loss) / (self.worth * (here.width - rung.width)), self, place)
            for place, rung in enumerate(self.rungs)
            if place > self.rung
        ]
        return min(prices, key=lambda price: price[0], default=None)


def rungs(curve: Curve) -> Iterator[Step]:
    """A curve's steps, and between them, by interpolation, the widths that kernels like; whole stages go at once."""
    yield curve.steps[0]
    for before, after in pairwise(curve.steps):
        if after.width:
            for width in range(before.width - curve.multiple, after.width, -curve.multiple):
                part = (before.width - width) / (before.width - after.width)
                yield Step(width, before.loss + part * (after.loss - before.loss))
        yield after
