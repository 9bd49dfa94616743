"""How fast a description is written: tokens a second, greedily, beside Hugging Face's ``generate`` and torch eager.

The decoders are of equal size. The sides alternate in one process, with the same number of threads, each number in
turn; figures are medians.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import _writing_sides
import torch
from _record import record
from ask_latency import alternated

THREADS = (1, 2)


def main() -> None:
    """Measures the sides and records them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 15")
    rounds = 3 if parser.parse_args().quick else 15
    began, size, figures = time.perf_counter(), _writing_sides.Size(), dict[str, float]()
    for threads in THREADS:
        torch.set_num_threads(threads)
        measured = writing_figures(size, threads, rounds)
        figures |= {f"{name}_of_{threads}_threads": value for name, value in measured.items()}
    record("writing", {"rounds": rounds, **asdict(size)}, figures, time.perf_counter() - began)


def writing_figures(size: _writing_sides.Size, threads: int, rounds: int) -> dict[str, float]:
    """Tokens a second; the faster of Hugging Face's decoders is what counts."""
    with TemporaryDirectory() as folder:
        sides = _writing_sides.sides(size, threads, Path(folder))
        texts = {name: side() for name, side in sides.items()}
        if texts["runtime"] != texts["torch"] or {len(text) for text in texts.values()} != {size.tokens}:
            raise SystemExit("The sides do not write the same number of tokens, or not the same with the same weights.")
        speeds = {name: size.tokens / value for name, value in alternated(sides, rounds).items()}
    figures = {f"{name}_tokens_per_second": speed for name, speed in speeds.items()}
    theirs = max(speed for name, speed in speeds.items() if name.startswith("hf_"))
    return figures | {"times_faster": speeds["runtime"] / theirs}


if __name__ == "__main__":
    main()
