"""Prints every figure in ``benchmarks/results`` as one table, with the benchmarks that have no result yet.

It knows the result files; it knows nothing of how a figure is measured.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def main() -> None:
    """Prints the table, then what was measured where."""
    names = sorted(path.stem for path in BENCHMARKS.glob("*.py") if not path.stem.startswith("_"))
    results = {name: read_result(BENCHMARKS / "results" / f"{name}.json") for name in names}
    table = Table("benchmark", "figure", "value", "commit", "seconds", box=None, header_style="bold", pad_edge=False)
    table.columns[2].justify = table.columns[4].justify = "right"
    for name, result in results.items():
        add_rows(table, name, result)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(table)
    for machine in sorted({str(result["machine"]) for result in results.values() if result}):
        console.print(f"measured on {machine}", markup=False)


def read_result(path: Path) -> dict[str, Any] | None:
    """A benchmark's result; None where it has not been measured."""
    if not path.is_file():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def add_rows(table: Table, name: str, result: dict[str, Any] | None) -> None:
    """A row a figure, or one that says how to measure what is missing."""
    if result is None:
        table.add_row(name, f"missing: .venv/bin/python benchmarks/{name}.py")
        return
    for position, (figure, value) in enumerate(result["figures"].items()):
        first = position == 0
        once = (name, result["commit"], f"{result['seconds']:g}") if first else ("", "", "")
        table.add_row(once[0], figure, f"{value:g}", once[1], once[2])


if __name__ == "__main__":
    main()
