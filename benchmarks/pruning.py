"""Pruned models beside the full one: parameters, speed and quality, of structured and unstructured pruning.

Structured: 30 and 50 % of the picture tower's parameters, and of the text tower's encoder (its word embeddings, half of
that tower, stay and are not counted), recovered by least squares and then by distillation on photos of groceries.
Unstructured: 50 and 80 % of both towers' weights at once, without recovery. Every bundle's graphs run in turn with the
full bundle's, on one thread; quality is photo search on ``coco128/dev``, which nothing is fitted on.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from _pruning_sides import deflated_mb, photos_of, pictures, sentences, times_faster
from _record import record
from photo_search import DATA, photos

from open_autoglm.bundle import Bundle, shipped_folder
from open_autoglm.compression.bundling import make_bundle
from open_autoglm.compression.pruning import (
    Calibration,
    Distillation,
    distil,
    plan_for,
    prune,
    prune_weights,
    sensitivity,
)
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMProcessor
from open_autoglm.runtime.model import Model

TOWERS = {"vision": "image", "text": "text"}
SIZES = (224, 224, 384, 224, 224, 512)  # most at the cheap size; the others as the model sees wholes and regions


def main() -> None:
    """Prunes, recovers, makes bundles, measures and records."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the text tower at 50 %% alone, on few sentences")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with grocery/ and coco128/")
    parser.add_argument("--steps", type=int, default=400, help="of distillation")
    arguments = parser.parse_args()
    began = time.perf_counter()
    counts = (8, 100) if arguments.quick else (256, 1000)
    full = OpenAutoGLM.from_pretrained("open-autoglm-base").eval()
    processor = OpenAutoGLMProcessor.from_pretrained("open-autoglm-base")
    shipped, groceries = Bundle.open(shipped_folder() / "open-autoglm-base"), arguments.data / "grocery"
    shown = photos_of(groceries, "train")
    calibration, held_out = (
        Calibration.of(processor, full.config, pictures(shown, n, seed), sentences(shipped, groceries, m, seed), SIZES)
        for seed, n, m in ((0, *counts), (1, *(max(8, count // 8) for count in counts)))
    )
    made: dict[str, OpenAutoGLM] = {"full": full}
    for tower in ("text",) if arguments.quick else TOWERS:
        scan = sensitivity(full, tower, calibration, held_out)
        for share in (0.5,) if arguments.quick else (0.3, 0.5):
            less = prune(full, plan_for(scan, share), calibration)
            if not arguments.quick:
                kinds = (
                    Calibration(calibration.pictures) if tower == "vision" else Calibration((), calibration.sentences)
                )
                less = distil(less, full, kinds, Distillation(steps=arguments.steps))
            made[f"{tower}_{share:.0%}".replace("%", "")] = less
    for share in () if arguments.quick else (0.5, 0.8):
        made[f"zeros_{share:.0%}".replace("%", "")] = prune_weights(full, share)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        bundles = {
            name: Bundle.open(make_bundle(model, processor, Path(folder) / name, name)) for name, model in made.items()
        }
        for name, bundle in bundles.items():
            figures |= measured(name, made[name], full, bundle, bundles["full"], arguments.data, arguments.quick)
    settings = {
        "model": shipped.manifest.space,
        "calibration": counts,
        "steps": 0 if arguments.quick else arguments.steps,
    }
    record("pruning", settings, figures, time.perf_counter() - began)


def measured(
    name: str, model: OpenAutoGLM, full: OpenAutoGLM, bundle: Bundle, beside: Bundle, data: Path, quick: bool
) -> dict[str, float]:
    """One bundle's figures, by its name."""
    figures = {f"{name}_deflated_mb": deflated_mb(bundle)}
    if not quick:
        found = photos(Model(bundle), data / "coco128" / "dev.parquet")
        figures |= {f"{name}_{metric}": found[metric] for metric in ("coco128_map", "coco128_p_at_1")}
    if model is full:
        return figures
    for tower, graph in TOWERS.items():
        if not name.startswith(("zeros", tower)):
            continue
        figures[f"{name}_{tower}_parameters_gone"] = 1 - parameters(model, tower) / parameters(full, tower)
        figures[f"{name}_{tower}_times_faster"] = times_faster(beside, bundle, graph, 3 if quick else 15)
    return figures


def parameters(model: OpenAutoGLM, tower: str) -> int:
    """Those that count: the picture tower's, or the text tower's without its embeddings."""
    part = model.vision.tower if tower == "vision" else model.text.tower.encoder
    return sum(parameter.numel() for parameter in part.parameters())


if __name__ == "__main__":
    main()
