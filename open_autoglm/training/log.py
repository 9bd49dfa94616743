"""A run's log, ``log.jsonl``: a line a logged step and a line an evaluation, read by the report.

It knows JSON lines; it knows nothing about what the figures mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class RunLog:
    """Appends to a file; a run that is resumed first cuts off what came after its checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut(self, step: int) -> float:
        """Drops the lines after ``step``, and any that a kill cut short; returns the seconds trained until then."""
        lines = [line for line in self.lines() if int(line.get("step", 0)) <= step]
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        part = self.path.with_name(f".{self.path.name}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(self.path)
        return max((float(line.get("seconds", 0.0)) for line in lines), default=0.0)

    def lines(self) -> list[dict[str, Any]]:
        """What it holds so far."""
        if not self.path.exists():
            return []
        found: list[dict[str, Any]] = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def append(self, entry: Mapping[str, Any]) -> None:
        """Adds a line, at once on disk for whoever looks."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(dict(entry))}\n")
