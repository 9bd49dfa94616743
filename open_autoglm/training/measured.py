"""What ``autoglm evaluate`` measures on: data, or the pictures that a training keeps for validation.

It knows recipes and runs' folders; it knows nothing about how anything is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from open_autoglm.data import DataSettings, Records, open_source
from open_autoglm.errors import SettingError
from open_autoglm.evaluation.result import Evaluation

from .material import open_splits
from .reading import read_recipe
from .report import write_evaluation, write_report
from .report_facts import RECIPE

ENDINGS = (".yaml", ".yml")
EXAMPLES = 6  # queries each way that a run's report shows as pictures


@dataclass(frozen=True)
class Measured:
    """``source``: data, or a recipe whose validation pictures are taken; ``run``: the folder that keeps the figures."""

    source: DataSettings | Path
    run: Path | None = None

    @property
    def examples(self) -> int:
        """How many queries each way are kept as pictures."""
        return EXAMPLES if self.run else 0

    def records(self, reading: Callable[[int], None] | None = None) -> Records:
        """The pictures and texts. SettingError for a recipe that keeps none for validation."""
        if isinstance(self.source, DataSettings):
            return open_source(self.source, reading)
        recipe = read_recipe(self.source)
        kept = open_splits(recipe.data, recipe.optimisation.seed, reading).validation
        if kept is None:
            raise SettingError(f"The recipe {self.source} keeps no pictures for validation: name the data instead.")
        return kept

    def keep(self, evaluation: Evaluation) -> Path | None:
        """Writes the figures into the run's folder and its report, which is returned; None where there is no run."""
        if self.run is None:
            return None
        write_evaluation(self.run, evaluation)
        return write_report(self.run)


def measured(data: str | None, settings: Mapping[str, Any], bundle: Path) -> Measured:
    """What ``data`` names, read as ``settings`` say; without it, what the training of ``bundle`` kept back.

    SettingError where the bundle lies in no run's folder, and for settings beside a recipe, which has its own.
    """
    given = {name: value for name, value in settings.items() if value}
    if data is not None and not data.lower().endswith(ENDINGS):
        return Measured(DataSettings(data, **given))
    if given:
        raise SettingError(f"A recipe says how its data is read: leave out --{next(iter(given))}.")
    if data is not None:
        return Measured(Path(data))
    run = bundle.absolute().parent
    if not (run / RECIPE).exists():
        raise SettingError(f"{bundle} lies in no training's folder: name the data to measure it on, or a recipe.")
    return Measured(run / RECIPE, run)
