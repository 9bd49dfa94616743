"""The objectives side by side: the same data, model, number of pairs and three seeds each, by the product's trainer.

Pictures of groceries in shops (Grocery Store Dataset, 81 products) at 96 px. Training sees ``train``; every figure is
on ``val``, which no training sees, and which nothing is chosen by: the weights measured are the last ones. ``test`` is
not touched. The towers are those of the shipped bundle, EfficientNet-Lite2 and MiniLM, with fresh linear heads; the
heads and the last blocks learn. The variants are in ``_objective_variants.py``.

Measured are the mean of recall at 1, 5 and 10 both ways among all captions of ``val``, R@1 of each way, and how many
pictures have their own product's name as the nearest of the 81. ``minutes`` is the training alone, without reading
the data and evaluating.

It shows how the objectives compare where data is small, towers are pretrained and training is short: one and a half
epochs, with rates that are the same for all and chosen for none. It does not show who wins after long training, from
scratch, or with many more negatives than a queue of 1024 holds, and differences within the spread of three seeds are
none. ``full_gain`` and ``full_times_the_minutes`` hold the whole recipe (queue, momentum encoder, hard mining) against
plain contrastive learning: published are 85.7 against 78.3 per cent, and less time. Needs the extra ``bench``.

A run that was stopped goes on where it was: each training's figures are kept in ``build/objectives``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _objective_variants import SIZE, TEMPLATE, content, variants
from _record import commit, record
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
KEPT = ROOT / "build" / "objectives"
SHOWN = ("accuracy", "mean_recall", "image_to_text_r1", "text_to_image_r1", "minutes")


def main() -> None:
    """Trains what has not been trained yet, then shows and records means and spreads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 seed of 2 steps: shows that it runs")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with grocery/")
    parser.add_argument("--only", nargs="+", help="train these variants alone, and record nothing")
    arguments = parser.parse_args()
    steps, seeds = (2, 1) if arguments.quick else (64, 3)
    settings = {"steps": steps, "seeds": seeds, "quick": arguments.quick, "size": SIZE, "variants": variants(steps)}
    kept = KEPT / hashlib.sha256(f"{commit()}{json.dumps(settings)}".encode()).hexdigest()[:12]
    kept.mkdir(parents=True, exist_ok=True)
    chosen = arguments.only or list(variants(steps))
    for seed in range(seeds):
        for name in chosen:
            file = kept / f"{name}-{seed}.json"
            if not file.exists():
                train(name, steps, seed, arguments.data, file)
    results = {
        name: [json.loads((kept / f"{name}-{seed}.json").read_text()) for seed in range(seeds)] for name in chosen
    }
    show(results)
    if not arguments.only:
        seconds = sum(one["seconds"] for runs in results.values() for one in runs)
        record("objectives", settings, figures(results), seconds)


def figures(results: Mapping[str, list[dict[str, float]]]) -> dict[str, float]:
    """Mean and spread of each variant, and the whole recipe beside plain contrastive learning."""
    made: dict[str, float] = {}
    for name, runs in results.items():
        for figure in SHOWN:
            made[f"{name}_{figure}"] = mean(runs, figure)
        made[f"{name}_accuracy_spread"], made[f"{name}_mean_recall_spread"] = (
            spread(runs, figure) for figure in SHOWN[:2]
        )
    full, plain = results["full"], results["contrastive"]
    gains = [{"gain": one["accuracy"] - other["accuracy"]} for one, other in zip(full, plain, strict=True)]
    made |= {"full_gain": mean(gains, "gain"), "full_gain_spread": spread(gains, "gain")}
    made["full_times_the_minutes"] = mean(full, "minutes") / mean(plain, "minutes")
    return made


def mean(runs: list[dict[str, float]], figure: str) -> float:
    """Over seeds."""
    return statistics.fmean(run[figure] for run in runs)


def spread(runs: list[dict[str, float]], figure: str) -> float:
    """The standard deviation over seeds; 0 for one."""
    return statistics.stdev(run[figure] for run in runs) if len(runs) > 1 else 0.0


def show(results: Mapping[str, list[dict[str, float]]]) -> None:
    """The table: mean ± standard deviation over seeds, in per cent."""
    table = Table("objective", *(name.replace("_", " ") for name in SHOWN), box=None, header_style="bold")
    for name, runs in results.items():
        percent = [f"{mean(runs, one):.1%} ± {100 * spread(runs, one):.1f}" for one in SHOWN[:-1]]
        table.add_row(name, *percent, f"{mean(runs, 'minutes'):.2f}")
    Console(highlight=False, width=None if sys.stdout.isatty() else 140).print(table)


def train(name: str, steps: int, seed: int, data: Path, to: Path) -> None:
    """One training; its figures go to ``to`` when all of them are there."""
    from open_autoglm.training.reading import parse_recipe
    from open_autoglm.training.run import start

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        started = write_start(Path(folder) / "start", seed, 10.0 if name == "siglip" else 1 / 0.07)
        made = content(variants(steps)[name], started, data / "grocery", Path(folder), steps, seed)
        run = start(parse_recipe(made, name), Path(folder), saving=False)
        run.trainer.train()
        if run.trainer.interruption.requested:
            raise SystemExit("Stopped: the same command goes on with this training.")
        found = measure(run)
    part = to.with_suffix(".part")
    part.write_text(json.dumps(found | {"seconds": time.perf_counter() - began}), encoding="utf-8")
    part.replace(to)
    print(f"{name}, seed {seed}: " + ", ".join(f"{one} {found[one]:.3f}" for one in SHOWN), file=sys.stderr, flush=True)


def write_start(folder: Path, seed: int, scale: float) -> Path:
    """The shipped towers with fresh heads, at 96 px with the whole and a 3 x 3 grid from one map."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMConfig, OpenAutoGLMImageProcessor, OpenAutoGLMProcessor

    disable_progress_bar()
    shipped = OpenAutoGLM.from_pretrained("open-autoglm-base")
    changes = {"image_head": "linear", "text_head": "linear", "whole_sizes": [], "region_grids": [[SIZE, SIZE // 32]]}
    torch.manual_seed(seed)
    model = OpenAutoGLM(OpenAutoGLMConfig(**{**shipped.config.to_dict(), **changes, "logit_scale": scale}))
    for part in ("vision", "text"):
        getattr(model, part).tower.load_state_dict(getattr(shipped, part).tower.state_dict())
    model.save_pretrained(folder)
    processor = OpenAutoGLMProcessor.from_pretrained("open-autoglm-base")
    prepared = vars(processor.image_processor.preprocessing) | {"height": SIZE, "width": SIZE}
    OpenAutoGLMProcessor(OpenAutoGLMImageProcessor(**prepared), processor.tokenizer).save_pretrained(folder)
    return folder


def measure(run: Any) -> dict[str, float]:
    """Recall as the trainer's last evaluation says it, and how many pictures are nearest to their own name."""
    import torch

    from open_autoglm.modeling.similarity import join
    from open_autoglm.training.validation import chunks, evaluating

    trainer = run.trainer
    learned, material = trainer.module.evaluated, trainer.material
    records, collator = run.splits.validation, material.collator
    names = sorted({record.label for record in run.splits.train})
    with evaluating(learned), torch.no_grad():
        pictures = [collator([material.validation[row] for row in rows]) for rows in chunks(len(records))]
        images = join([learned.encoder.model.image_side(batch["pixel_values"]) for batch in pictures])
        words = collator.texts([TEMPLATE.format(name.replace("-", " ")) for name in names])
        texts = learned.encoder.texts(words["input_ids"], words["attention_mask"])
        nearest = learned.encoder.model.similarity(images, texts).argmax(dim=1).tolist()
    right = [names[found] == record.label for found, record in zip(nearest, records, strict=True)]
    logged = [line for line in trainer.state.log_history if "eval_mean_recall" in line][-1]
    recalls = {key.removeprefix("eval_"): float(value) for key, value in logged.items() if key.startswith("eval_")}
    seconds = max(line.get("seconds", 0.0) for line in trainer.run_log.lines())
    return recalls | {"accuracy": statistics.fmean(right), "minutes": seconds / 60}


if __name__ == "__main__":
    main()
