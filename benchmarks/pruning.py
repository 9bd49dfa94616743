"""Pruned models beside the full one, in float and in int8: parameters, size, speed and quality.

``groceries``: the bundle trained on photos of groceries, measured by the share of them named right (``--split``).
``base``: the shipped base bundle, measured by photo search on ``coco128/dev``, which nothing is fitted on. Structured:
30 and 50 % of each tower's parameters (word embeddings, which stay, are not counted), fitted in closed form and, for
the groceries, then taught by the full model on the training photos; the base bundle has no such photos, and only what
the closed form keeps on others is shown. Unstructured: 50 and 80 % of the weights, without recovery. Speed: graphs run
in turn with the full bundle's float ones, on one thread; ``points_lost``: of the full float bundle's quality.
Distillations are saved under ``--work`` and go on from there.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from _pruning_sides import deflated_mb, photos_of, sentences, size_mb, times_faster
from _record import record
from grocery import groceries
from numpy.typing import NDArray
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
FITTED, HELD_OUT = 192, 48  # pictures; sentences are six times as many
PICTURES = {0.3: Distillation(600, 1e-4, size=256), 0.5: Distillation(400, 2e-4, size=224)}
WORDS = {0.3: Distillation(600, 2e-4), 0.5: Distillation(600, 2e-4)}


@dataclass(frozen=True)
class Subject:
    """A bundle, the sizes that it is fitted at, whether it is taught, and how good it is by which figure."""

    bundle: str
    sizes: tuple[int, ...]
    taught: bool
    quality: Callable[[Model], dict[str, float]]
    figure: str


def main() -> None:
    """Prunes, recovers, quantises, measures and records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="30 %% of the grocery bundle, taught for two steps")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with grocery/ and coco128/")
    parser.add_argument("--split", default="val", choices=["val", "test"], help="of the groceries")
    parser.add_argument("--subjects", nargs="+", default=["groceries", "base"])
    parser.add_argument("--work", type=Path, default=Path("runs/pruning"), help="where models are kept")
    arguments = parser.parse_args()
    began = time.perf_counter()
    quick = arguments.quick
    known = {
        "groceries": Subject(
            "open-autoglm-grocery",
            (288, 224),
            True,
            lambda model: groceries(model, arguments.data / "grocery", arguments.split, 10 if quick else 1),
            "fine_accuracy",
        ),
        "base": Subject(
            "open-autoglm-base",
            (224, 384, 512),
            False,
            lambda model: photos(model, arguments.data / "coco128" / "dev.parquet"),
            "coco128_map",
        ),
    }
    figures: dict[str, float] = {}
    for name in ("groceries",) if quick else arguments.subjects:
        folder = arguments.work / f"{name}{'-quick' if quick else ''}"
        found = measured(known[name], folder, arguments.data / "grocery", quick)
        figures |= {f"{name}_{key}": value for key, value in found}
    settings = {
        "split": arguments.split,
        "pictures": {str(share): asdict(lesson) for share, lesson in PICTURES.items()},
        "words": {str(share): asdict(lesson) for share, lesson in WORDS.items()},
        "quick": quick,
    }
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
    order = np.random.default_rng(0).permutation(len(shown))
    fitted, held_out = (32, 16) if quick else (FITTED, HELD_OUT)

    def material(rows: NDArray[np.int64], sizes: tuple[int, ...], seed: int) -> Calibration:
        said = sentences(bundle, data, 6 * len(rows), seed)
        return Calibration.of(processor, full.config, [shown[row] for row in rows], said, sizes)

    fitting = material(order[:fitted], subject.sizes, 0)
    measuring = material(order[fitted : fitted + held_out], subject.sizes[:1], 1)
    lesson = material(order[:fitted] if quick else order, subject.sizes[:1], 0)
    lessons = {"vision": Calibration(lesson.pictures), "text": Calibration((), lesson.sentences)}
    scans = {tower: sensitivity(full, tower, fitting, measuring) for tower in TOWERS}
    for share in STRUCTURED[:1] if quick else STRUCTURED:
        towers: dict[str, OpenAutoGLM] = {}
        for tower, plans in {"vision": PICTURES, "text": WORDS}.items():
            name = f"{tower}_{share * 100:.0f}"
            towers[tower] = less = prune(full, plan_for(scans[tower], share), fitting)
            if subject.taught:
                settings = replace(plans[share], steps=2) if quick else plans[share]
                towers[tower] = distil(less, full, lessons[tower], settings, folder / name)
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
