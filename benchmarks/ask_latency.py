"""How long an answer takes: one question about a 640 x 480 photo, torch-free and in torch eager, with one bundle.

``runtime`` is in float; ``int8`` is measured where the bundle has such graphs, as the recipe asks for.
The sides alternate in one process, with the same number of threads; figures are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import _asking_sides
import torch
from _record import record

import open_autoglm

BUNDLE = "runs/grocery-questions/bundle"
REST = 0.05  # seconds before each side, so that no threads of the one before are still waiting awake
PHOTO = Path("samples/grocery/banana.jpg")


def main() -> None:
    """Measures the sides and records them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 15")
    parser.add_argument("--model", default=BUNDLE, help="a bundle with a fusion decoder")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    began, rounds = time.perf_counter(), 3 if arguments.quick else 15
    figures = asking_figures(arguments.model, arguments.threads, rounds)
    space = open_autoglm.load(arguments.model).space
    settings = {"model": space, "threads": arguments.threads, "rounds": rounds}
    record("ask_latency", settings, figures, time.perf_counter() - began)


def asking_figures(bundle: str, threads: int, rounds: int) -> dict[str, float]:
    """Seconds an answer takes."""
    sides = _asking_sides.sides(bundle, PHOTO, threads)
    said = {side() for side in sides.values()}
    if len(said) > 1:
        raise SystemExit(f"The sides answer differently: {said}.")
    seconds = alternated(sides, rounds)
    figures = {f"ask_{name}_p50_ms": 1000 * value for name, value in seconds.items()}
    figures["ask_times_faster"] = seconds["torch"] / seconds["runtime"]
    if "int8" in seconds:
        figures["ask_int8_times_faster"] = seconds["torch"] / seconds["int8"]
    return figures


def alternated(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each side, one after the other, round by round; each has run before."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            time.sleep(REST)
            began = time.perf_counter()
            side()
            measured[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in measured.items()}


if __name__ == "__main__":
    main()
