"""Pruned models beside the full one, in float and in int8: parameters, size, speed and quality.

``groceries``: the bundle trained on photos of groceries, measured by the share of them named right (``--split``).
``base``: the shipped base bundle, measured by photo search on ``coco128/dev``, which nothing is fitted on; it has no
training pictures here but the groceries'. Structured: 30 and 50 % of both towers' parameters (word embeddings, which
stay, are not counted), fitted in closed form and then taught by the full model on training photos. Unstructured: 50
and 80 % of the weights, without recovery. Speed: graphs run in turn with the full bundle's float ones, on one thread;
``lost``: of the full float bundle's quality. Distillations are saved under ``--work`` and go on from there.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from _pruning_sides import deflated_mb, photos_of, pictures, sentences, size_mb, times_faster
from _record import record
from grocery import groceries
from photo_search import DATA, photos

from open_autoglm.bundle import Bundle
from open_autoglm.compression.bundling import make_bundle
from open_autoglm.compression.int8_bundle import Checks, Int8Settings, quantise_bundle
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
STRUCTURED, UNSTRUCTURED = (0.3, 0.5), (0.5, 0.8)
FITTED, HELD_OUT = 192, 48  # pictures; sentences are four times as many


@dataclass(frozen=True)
class Subject:
    """A bundle, the sizes that it is fitted at, what it is taught with, and how good it is by which figure."""

    bundle: str
    sizes: tuple[int, ...]
    lesson: Distillation
    quality: Callable[[Model], dict[str, float]]
    figure: str


def main() -> None:
    """Prunes, recovers, quantises, measures and records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="30 %% of the grocery bundle, taught for two steps")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with grocery/ and coco128/")
    parser.add_argument("--split", default="val", choices=["val", "test"], help="of the groceries")
    parser.add_argument("--subjects", nargs="+", default=["groceries", "base"])
    parser.add_argument("--steps", type=int, default=800, help="of distillation")
    parser.add_argument("--work", type=Path, default=Path("runs/pruning"), help="where models are kept")
    arguments = parser.parse_args()
    began = time.perf_counter()
    quick, steps = arguments.quick, 2 if arguments.quick else arguments.steps
    known = {
        "groceries": Subject(
            "open-autoglm-grocery",
            (288,),
            Distillation(steps=steps, size=256),
            lambda model: groceries(model, arguments.data / "grocery", arguments.split, 10 if quick else 1),
            "fine_accuracy",
        ),
        "base": Subject(
            "open-autoglm-base",
            (224, 384, 512),
            Distillation(steps=steps, size=288, smallest=0.15),
            lambda model: photos(model, arguments.data / "coco128" / "dev.parquet"),
            "coco128_map",
        ),
    }
    figures: dict[str, float] = {}
    for name in ("groceries",) if quick else arguments.subjects:
        folder = arguments.work / f"{name}-{steps}{'-quick' if quick else ''}"
        found = measured(known[name], folder, arguments.data / "grocery", quick)
        figures |= {f"{name}_{key}": value for key, value in found}
    settings = {"split": arguments.split, "steps": steps, "quick": quick}
    record("pruning", settings, figures, time.perf_counter() - began)


def measured(subject: Subject, folder: Path, data: Path, quick: bool) -> Iterator[tuple[str, float]]:
    """The figures of one bundle and of all that was made of it."""
    full = OpenAutoGLM.from_pretrained(subject.bundle).eval()
    processor = OpenAutoGLMProcessor.from_pretrained(subject.bundle)
    checks = Checks(photos_of(data, "train")[:64], photos_of(data, "val")[:32])
    made = {"full": full} | dict(pruned(full, processor, subject, folder, data, quick))
    whole: Bundle | None = None
    best: dict[str, float] = {}
    for name, model in made.items():
        float_bundle = make_bundle(model, processor, folder / "bundles" / name, name, overwrite=True)
        bundles = {name: Bundle.open(float_bundle)}
        if not name.startswith("zeros"):
            int8 = quantise_bundle(
                bundles[name],
                folder / "bundles" / f"{name}_int8",
                checks,
                Int8Settings(least_speedup=0, only=True, tasks=("image", "text")),
                overwrite=True,
            )
            bundles[f"{name}_int8"] = Bundle.open(int8.path)
        whole = whole or bundles[name]
        for tower in TOWERS if model is not full else ():
            yield f"{name}_{tower}_gone", 1 - parameters(model, tower) / parameters(full, tower)
        for key, bundle in bundles.items():
            quality = subject.quality(Model(bundle))
            best = best or quality
            yield f"{key}_{subject.figure}", quality[subject.figure]
            yield f"{key}_points_lost", 100 * (best[subject.figure] - quality[subject.figure])
            yield f"{key}_mb", size_mb(bundle)
            yield f"{key}_deflated_mb", deflated_mb(bundle)
            for graph in TOWERS.values() if bundle is not whole else ():
                yield f"{key}_{graph}_times_faster", times_faster(whole, bundle, graph, 3 if quick else 25)


def pruned(
    full: OpenAutoGLM, processor: OpenAutoGLMProcessor, subject: Subject, folder: Path, data: Path, quick: bool
) -> Iterator[tuple[str, OpenAutoGLM]]:
    """The models by their names: one tower pruned, then both, then weights that are zero."""
    shown, bundle = photos_of(data, "train"), Bundle.open(subject.bundle)
    fitted, held_out = (32, 16) if quick else (FITTED, HELD_OUT)

    def material(count: int, seed: int, sizes: tuple[int, ...]) -> Calibration:
        said = sentences(bundle, data, 4 * count, seed)
        return Calibration.of(processor, full.config, pictures(shown, count, seed), said, sizes)

    fitting, measuring = material(fitted, 0, subject.sizes), material(held_out, 1, subject.sizes)
    lessons = material(fitted if quick else 2 * len(shown), 2, (max(subject.sizes[0], 288),))
    kinds = {"vision": Calibration(lessons.pictures), "text": Calibration((), lessons.sentences)}
    scans = {tower: sensitivity(full, tower, fitting, measuring) for tower in TOWERS}
    for share in STRUCTURED[:1] if quick else STRUCTURED:
        towers: dict[str, OpenAutoGLM] = {}
        for tower in TOWERS:
            less = prune(full, plan_for(scans[tower], share), fitting)
            name = f"{tower}_{share * 100:.0f}"
            towers[tower] = distil(less, full, kinds[tower], subject.lesson, folder / name)
            yield name, towers[tower]
        yield f"both_{share * 100:.0f}", joined(towers)
    for share in () if quick else UNSTRUCTURED:
        yield f"zeros_{share * 100:.0f}", prune_weights(full, share)


def joined(towers: dict[str, OpenAutoGLM]) -> OpenAutoGLM:
    """The picture tower of the one with the text tower of the other."""
    looking, reading = towers["vision"], towers["text"]
    config = copy.deepcopy(looking.config)
    config.text_config = copy.deepcopy(reading.config.text_config)
    both = OpenAutoGLM(config).eval()
    said = {name: tensor for name, tensor in reading.state_dict().items() if name.startswith("text.")}
    seen = {name: tensor for name, tensor in looking.state_dict().items() if not name.startswith("text.")}
    both.load_state_dict(seen | said)
    return both


def parameters(model: OpenAutoGLM, tower: str) -> int:
    """Those that count and are not zero: the picture tower's, or the text tower's without its embeddings."""
    part = model.vision.tower if tower == "vision" else model.text.tower.encoder
    return sum(int(parameter.count_nonzero()) for parameter in part.parameters())


if __name__ == "__main__":
    main()
