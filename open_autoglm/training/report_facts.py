"""What a run leaves for its report beside its log: its data, what was found in it, its machine and its versions.

It knows files of a run's folder; it knows nothing about how they are shown.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from open_autoglm import __version__
from open_autoglm.data.records import Records
from open_autoglm.errors import DataError

from .preflight_finding import Finding

FACTS = "facts.json"
LOG = "log.jsonl"
RECIPE = "recipe.yaml"
EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class Log:
    """``steps`` and ``evaluations`` by step, ascending, as the run wrote them; ``damaged`` lines were passed over."""

    steps: tuple[dict[str, Any], ...]
    evaluations: tuple[dict[str, Any], ...]
    damaged: int


def write_facts(run: Path, splits: Mapping[str, Records], findings: Sequence[Finding] = (), **more: Any) -> Path:
    """Writes ``facts.json`` into a run's folder when the run starts.

    ``more`` is kept as it is: ``preflight``, a sentence about where the findings come from, or ``command="..."``.
    """
    facts = {
        "started": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "version": __version__,
        "commit": commit(),
        "machine": machine(),
        "splits": {
            name: {
                "pictures": len(records),
                "captions": records.pairs,
                "classes": len(records.classes),
                "rows": records.rows,
                "skipped": records.skipped,
                "fingerprint": records.fingerprint,
                "source": records.source,
            }
            for name, records in splits.items()
        },
        "findings": [asdict(finding) for finding in findings],
        **more,
    }
    replace_text(run / FACTS, json.dumps(facts, ensure_ascii=False, indent=1, default=str))
    return run / FACTS


def replace_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all. DataError where it cannot be written."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(text.encode("utf-8", "replace"))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written ({error.strerror}): make room, or check the folder.") from error


def read_document(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one where there is no such file. DataError where it is damaged."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): remove it, and the report goes without it.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} is not a JSON object: remove it, and the report goes without it.")
    return found


def read_log(path: Path) -> Log:
    """A run's log; where a resumed run repeats a step, the later line counts. DataError where there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): give the folder of a training run.") from error
    steps: dict[float, dict[str, Any]] = {}
    evaluations: dict[float, dict[str, Any]] = {}
    damaged = 0
    for line in lines:
        try:
            entry = json.loads(line)
            step = float(entry["step"])
        except (ValueError, KeyError, TypeError):
            damaged += bool(line.strip())
            continue
        if isinstance(entry.get("eval"), dict):
            evaluations[step] = entry["eval"] | {"step": step}
        else:
            steps[step] = entry | {"step": step}
    return Log(
        tuple(steps[step] for step in sorted(steps)),
        tuple(evaluations[step] for step in sorted(evaluations)),
        damaged,
    )


def commit() -> str:
    """The commit of the clone this program runs from, marked where files differ; empty where it is no clone."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return ""
    return found.stdout.strip()


def machine() -> str:
    """Processor, cores and Python in words."""
    model, info = platform.machine(), Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, Python {platform.python_version()}"
