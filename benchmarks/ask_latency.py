"""How long an answer takes, and how fast a description is written: this runtime beside torch and Hugging Face.

Asking: one question about a 640 x 480 photo, torch-free and in torch eager, with the same bundle. Writing: tokens a
second, greedily, beside Hugging Face's ``generate`` of decoders of equal size. The sides alternate in one process, all
with the same number of threads; figures are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import _asking_sides
import _writing_sides
import torch
from _record import record

import open_autoglm

BUNDLE = "runs/grocery-questions/bundle"
PHOTO = Path("samples/grocery/banana.jpg")


def main() -> None:
    """Measures both and records them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 15")
    parser.add_argument("--model", default=BUNDLE, help="a bundle with a fusion decoder")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    began, rounds = time.perf_counter(), 3 if arguments.quick else 15
    asking = asking_figures(arguments.model, arguments.threads, rounds)
    size = _writing_sides.Size()
    writing = writing_figures(size, arguments.threads, rounds)
    settings = {
        "model": open_autoglm.load(arguments.model).space,
        "threads": arguments.threads,
        "rounds": rounds,
        "writing": asdict(size),
    }
    record("ask_latency", settings, asking | writing, time.perf_counter() - began)


def asking_figures(bundle: str, threads: int, rounds: int) -> dict[str, float]:
    """Seconds an answer takes."""
    sides = _asking_sides.sides(bundle, PHOTO, threads)
    said = {side() for side in sides.values()}
    if len(said) > 1:
        raise SystemExit(f"The sides answer differently: {said}.")
    seconds = alternated(sides, rounds)
    figures = {f"ask_{name}_p50_ms": 1000 * value for name, value in seconds.items()}
    return figures | {"ask_times_faster": seconds["torch"] / seconds["runtime"]}


def writing_figures(size: _writing_sides.Size, threads: int, rounds: int) -> dict[str, float]:
    """Tokens a second; the faster of Hugging Face's decoders is what counts."""
    with TemporaryDirectory() as folder:
        sides = _writing_sides.sides(size, threads, Path(folder))
        texts = {name: side() for name, side in sides.items()}
        if texts["runtime"] != texts["torch"] or {len(text) for text in texts.values()} != {size.tokens}:
            raise SystemExit("The sides do not write the same number of tokens, or not the same with the same weights.")
        speeds = {name: size.tokens / value for name, value in alternated(sides, rounds).items()}
    figures = {f"write_{name}_tokens_per_second": speed for name, speed in speeds.items()}
    theirs = max(speed for name, speed in speeds.items() if name.startswith("hf_"))
    return figures | {"write_times_faster": speeds["runtime"] / theirs}


def alternated(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each side, one after the other, round by round; each has run before."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            measured[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in measured.items()}


if __name__ == "__main__":
    main()
