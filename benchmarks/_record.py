"""Writes a benchmark's result: figures with the commit, machine and settings they were measured with."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def record(name: str, settings: Mapping[str, Any], figures: Mapping[str, float], seconds: float) -> None:
    """Prints the figures and writes ``benchmarks/results/<name>.json``."""
    result = {
        "commit": commit(),
        "machine": machine(),
        "settings": dict(settings),
        "seconds": round(seconds, 1),
        "figures": {key: round(float(value), 4) for key, value in figures.items()},
    }
    width = max(len(key) for key in figures)
    for key, value in result["figures"].items():
        print(f"{key:<{width}}  {value:g}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def commit() -> str:
    """The commit measured, marked where the tree differs from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "none"


def machine() -> str:
    """Processor, cores and Python in words."""
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
