"""``autoglm train`` for a detector: reads its recipe, shows what goes on, and says how it ended.

It knows a detector's training; it knows nothing about how arguments are parsed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import yaml  # type: ignore[import-untyped]

from open_autoglm.data import BoxedPictures
from open_autoglm.errors import SettingError

from .detection import DetectorOutcome, train_detector
from .detection_recipe import DetectorRecipe
from .processes import program
from .progress import duration, watched
from .reading import build, plain
from .report_facts import RECIPE
from .trainer import Progress


def parse_detector(content: Mapping[Any, Any], source: str) -> DetectorRecipe:
    """The recipe that a mapping describes; ``source`` is named in messages."""
    try:
        return build(DetectorRecipe, content, "")
    except SettingError as error:
        raise SettingError(f"{source}: {error}") from error


def train_detections(recipe: DetectorRecipe, resume: bool, say: Callable[[str], None]) -> DetectorOutcome:
    """Trains; says the recipe in full and what data it has, with the rows left out, and shows the progress."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise SettingError("A detector is trained by one process: start 'autoglm train' without torchrun.")

    def opened(data: Mapping[str, BoxedPictures]) -> None:
        for name, pictures in data.items():
            for line in f"{name}: {pictures.summary()}".splitlines():
                say(line)

    for line in (*yaml.safe_dump(plain(asdict(recipe)), sort_keys=False, allow_unicode=True).splitlines(), ""):
        say(line)
    with watched() as report:
        return train_detector(recipe, resume=resume, report=lambda line: report(moment(line, recipe)), opened=opened)


def moment(line: Mapping[str, float], recipe: DetectorRecipe) -> Progress:
    """A line of the log as progress is shown."""
    figures = {name: value for name, value in line.items() if name not in ("step", "seconds")}
    step, settings = int(line["step"]), recipe.optimisation
    if "loss" not in figures:
        return Progress(step, settings.steps, figures, evaluation=True)
    figures["pictures_per_second"] = settings.batch_size * step / max(line["seconds"], 1e-3)
    return Progress(step, settings.steps, figures)


def trained_in_words(outcome: DetectorOutcome) -> Iterator[str]:
    """How a training ended and what to do next."""
    steps = f"{outcome.step:,} of {outcome.steps:,} steps in {duration(outcome.seconds)}"
    if outcome.stopped:
        yield f"Stopped after {steps}; go on with: {program()} train {outcome.folder / RECIPE} --resume"
        return
    yield f"Trained {steps}."
    for name, value in outcome.figures.items():
        yield f"  {name.replace('_', ' ')}: {value:.1%}"
    yield f"Wrote the detector {outcome.detector}. Next: name it in a recipe that answers, as fusion.proposals:"
    yield f"  {{kind: detector, source: {outcome.detector}}}"
