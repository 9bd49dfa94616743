"""``autoglm train`` without its arguments: reads the recipe, shows what goes on, and says how it ended.

It knows runs and checks; it knows nothing about how arguments are parsed.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from open_autoglm.errors import SettingError

from .detection import DetectorOutcome
from .detection_command import parse_detector, train_detections, trained_in_words
from .detection_recipe import DetectorRecipe
from .material import Splits
from .outcome import Outcome
from .preflight import Checked, check
from .processes import first_process, program
from .progress import counted, duration, shown, watched
from .reading import parse_recipe, read_settings, to_yaml
from .recipe import Recipe
from .report import REPORT
from .report_facts import RECIPE
from .run import train

# What libraries say to each other where several processes train; nobody who trains can change it.
_NOISE = (".*broadcast_buffers. is deprecated", "Grad strides do not match bucket view strides")


def read(path: Path, changes: Sequence[str], to: Path | None) -> Recipe | DetectorRecipe:
    """The recipe in a file, with changes; ``to``: where its run goes."""
    content = read_settings(path, [*changes, *([f"output.folder={json.dumps(str(to))}"] if to else [])])
    return parse_detector(content, str(path)) if content.get("task") == "detect" else parse_recipe(content, str(path))


def train_recipe(
    recipe: Recipe | DetectorRecipe, resume: bool, say: Callable[[str], None]
) -> Outcome | DetectorOutcome:
    """Trains; says the recipe in full and what data it has, with the rows left out, and shows the progress."""
    if isinstance(recipe, DetectorRecipe):
        return train_detections(recipe, resume, say)
    for noise in _NOISE:
        warnings.filterwarnings("ignore", message=noise)
    if not first_process():
        return train(recipe, resume=resume)

    def opened(splits: Splits) -> None:
        for name, records in splits.named.items():
            for line in f"{name}: {records.summary()}".splitlines():
                say(line)

    for line in (*to_yaml(recipe).splitlines(), ""):
        say(line)
    with watched() as report, counted("Rows read") as reading:
        return train(recipe, resume=resume, report=report, reading=reading, opened=opened, say=say)


def check_recipe(recipe: Recipe | DetectorRecipe) -> Checked:
    """Looks over data and model, and shows the progress on stderr. SettingError for a detector's recipe."""
    if isinstance(recipe, DetectorRecipe):
        raise SettingError(
            "--check looks at pictures with texts, not at boxes: for a first look at a detector, train it with "
            "--set optimisation.steps=50."
        )
    with (
        counted("Rows read") as reading,
        counted("Pictures looked at") as looking,
        watched("Learning", ends=False) as report,
    ):
        return check(recipe, report=report, reading=reading, looking=looking)


def outcome_in_words(outcome: Outcome | DetectorOutcome) -> Iterator[str]:
    """How a training ended and what to do next."""
    if isinstance(outcome, DetectorOutcome):
        yield from trained_in_words(outcome)
        return
    steps = f"{outcome.step:,} of {outcome.steps:,} steps in {duration(outcome.seconds)}"
    if outcome.stopped:
        yield f"Stopped after {steps}; go on with: {program()} train {outcome.folder / RECIPE} --resume"
        return
    yield f"Trained {steps}."
    for name, value in outcome.figures.items():
        yield f"  {name.replace('_', ' ')}: {shown(name, value)}"
    yield from outcome.notes
    if outcome.bundle is not None:
        yield f"Its report is {outcome.folder / REPORT}."
        yield f"Wrote the bundle {outcome.bundle}. Next: autoglm index DIR --to INDEX --model {outcome.bundle}"


def check_in_words(checked: Checked) -> Iterator[str]:
    """The findings, the worst first, and whether to go on."""
    for split, records in checked.splits.named.items():
        lines = records.summary().splitlines()
        yield f"{split}: {lines[0]}"
    for finding in checked.findings:
        yield from str(finding).splitlines()
    errors = sum(finding.severity == "error" for finding in checked.findings)
    if errors:
        yield f"Not ready: {errors} of these would spoil the training."
    else:
        yield "Ready to train."


def describe_check(checked: Checked) -> dict[str, Any]:
    """The same for machines."""
    return {
        "passed": checked.passed,
        "findings": [asdict(finding) for finding in checked.findings],
        "overfit": asdict(checked.overfit) if checked.overfit else None,
        "splits": {
            name: {"pictures": len(records), "captions": records.pairs, "fingerprint": records.fingerprint}
            for name, records in checked.splits.named.items()
        },
    }
