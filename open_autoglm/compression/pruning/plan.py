"""How many units each stage of the towers keeps, and how a budget is shared out among them.

It knows what a scan measured; it knows nothing about weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from open_autoglm.errors import SettingError

from .scan import Scan
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


def plan_for(scan: Scan, share: float, time: float = 0.5) -> Plan:
    """The plan that takes ``share`` of the scanned tower's parameters away at the least loss that the scan foresees.

    Units go where the loss grows least for what they cost; of that cost, ``time`` is how much the share of multiply-adds
    counts, the rest being the share of parameters. SettingError for shares outside of their range, and for one that
    the tower's stages do not have.
    """
    checked_share(share)
    if not 0 <= time <= 1:
        raise SettingError(f"The weight of time is a number from 0 to 1, and not {time}.")
    curves = [curve for curve in scan.curves if curve.steps]
    places = [0] * len(curves)
    gone = 0.0
    work = sum(curve.work * curve.units for curve in curves)
    while gone < share * scan.parameters:
        best, found = float("inf"), None
        for number, (curve, place) in enumerate(zip(curves, places, strict=True)):
            for further in range(place + 1, len(curve.steps)):
                units = curve.steps[place].width - curve.steps[further].width
                cost = (1 - time) * units * curve.parameters / scan.parameters + time * units * curve.work / work
                price = (curve.steps[further].loss - curve.steps[place].loss) / cost
                if price < best:
                    best, found = price, (number, further, units * curve.parameters)
        if found is None:
            most = gone / scan.parameters
            raise SettingError(f"Only {most:.0%} of the parameters of {scan.tower} can be taken away, not {share:.0%}.")
        places[found[0]] = found[1]
        gone += found[2]
    kept = zip(curves, places, strict=True)
    return Plan({curve.name: curve.steps[place].width for curve, place in kept if place})
