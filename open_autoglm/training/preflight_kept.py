"""What a check found, kept in the run's folder until the training starts and its report tells of it.

It knows the file and whether it fits a training; it knows nothing about how anything is found, or how it is shown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from open_autoglm.errors import DataError

from .checkpoints import Identity
from .preflight_finding import Finding
from .reading import differences, shown
from .report_facts import read_document, replace_text

PREFLIGHT = "preflight.json"
NO_MATTER = ("name", "output", "evaluation", "data.workers")  # settings that a check does not look at
NAMED = 5  # changed settings that are named; the rest is counted


@dataclass(frozen=True)
class Preflight:
    """``findings`` about the data that is trained on, and a sentence about what was ``checked``."""

    findings: tuple[Finding, ...]
    checked: str


def keep(folder: Path, identity: Identity, findings: Sequence[Finding]) -> None:
    """Writes what was found with this recipe and data into the run's folder, which is made where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    document = asdict(identity) | {"findings": [asdict(finding) for finding in findings]}
    replace_text(folder / PREFLIGHT, json.dumps(document, ensure_ascii=False, indent=1))


def kept(folder: Path, identity: Identity) -> Preflight:
    """What the last check in this folder found, as far as it is about the same data.

    DataError where the file is damaged.
    """
    path = folder / PREFLIGHT
    document = read_document(path)
    if not document:
        return Preflight((), "The data was not looked over before the training: autoglm train --check does it.")
    try:
        recipe, data = dict(document["recipe"]), dict(document["data"])
        findings = tuple(Finding(**one | {"examples": tuple(one["examples"])}) for one in document["findings"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not what a check writes: remove it, and the report goes without it.") from error
    if data != dict(identity.data):
        return Preflight((), "Other data than this was looked over: autoglm train --check does it anew.")
    now = json.loads(json.dumps(identity.recipe))
    changed = [
        f"{name} was {shown(before)}"
        for name, before, _ in differences(recipe, now)
        if not any(name == free or name.startswith(f"{free}.") for free in NO_MATTER)
    ]
    if not changed:
        return Preflight(findings, "Found with the recipe and the data of this training.")
    more = f", and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    return Preflight(findings, f"Found with this data and another recipe: {', '.join(changed[:NAMED])}{more}.")
