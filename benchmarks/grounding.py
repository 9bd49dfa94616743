"""Where things are in ordinary photos, and whether they are there: the shipped base bundle on COCO photos.

``coco128/dev``. Pointing game (arXiv 1608.00507): for each photo and category in it, does the hottest place of the map
for ``a photo of a {}`` lie in a box of the category; beside it, what always pointing at the centre reaches. Presence:
"is there a dog?" for a category that is in the photo and for one that is not, the pairs drawn 20 times; and the area
under the curve over all categories. No category's name or photo was seen when the bundle was made or calibrated.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from _record import record
from numpy.typing import NDArray

import open_autoglm
from open_autoglm.runtime.answers import Grounding
from open_autoglm.runtime.asking import AlignmentAnswers
from open_autoglm.runtime.grounding import direction, ground
from open_autoglm.runtime.presence import presence
from open_autoglm.runtime.questions import read_question, sentence
from open_autoglm.runtime.seeing import Seen, see

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
DRAWS = 20
QUICK = 24  # photos


@dataclass(frozen=True)
class Photo:
    """A photo and its boxes x0 y0 x1 y1 in pixels, by category."""

    image: bytes
    boxes: dict[str, NDArray[np.float32]]


def main() -> None:
    """Measures both and records them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} photos only, and nothing is recorded")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with coco128/")
    parser.add_argument("--model", default="open-autoglm-base")
    arguments = parser.parse_args()
    began = time.perf_counter()
    model = open_autoglm.load(arguments.model)
    photos = read_photos(arguments.data / "coco128" / "dev.parquet")
    categories = sorted({name for photo in photos for name in photo.boxes})
    if arguments.quick:
        photos = photos[:QUICK]
    seen = [see(model, photo.image) for photo in photos]
    figures = pointing(model, photos, seen) | presence_figures(model, photos, seen, categories)
    if arguments.quick:
        print(json.dumps(figures, indent=1))
        return
    settings = {"model": model.space, "draws": DRAWS, "photos": len(photos)}
    record("grounding", settings, figures, time.perf_counter() - began)


def read_photos(source: Path) -> list[Photo]:
    """The photos of a table, in its order."""
    photos = []
    for row in pq.read_table(source, columns=["boxes", "image"]).to_pylist():
        boxes: dict[str, list[list[float]]] = {}
        for name, *box in json.loads(row["boxes"]):
            boxes.setdefault(name, []).append(box)
        photos.append(Photo(row["image"], {name: np.array(found, np.float32) for name, found in boxes.items()}))
    return photos


def pointing(model: open_autoglm.Model, photos: Sequence[Photo], seen: Sequence[Seen]) -> dict[str, float]:
    """The pointing game, the share of best boxes that overlap a true one well, and right counts."""
    hits, centre, overlaps, counts = [], [], [], []
    for photo, sight in zip(photos, seen, strict=True):
        for name, boxes in photo.boxes.items():
            query = direction(model.similarity, model.embed_queries([f"a photo of a {name}"]))[0]
            found = ground(sight, query, 1.0)
            hits.append(inside(boxes, *hottest(found, sight)))
            centre.append(inside(boxes, sight.width / 2, sight.height / 2))
            overlaps.append(max(overlap(found.boxes[0], box) for box in boxes))
            counts.append(len(found.boxes) == len(boxes))
    return {
        "pairs": len(hits),
        "pointing_game": float(np.mean(hits)),
        "pointing_game_centre": float(np.mean(centre)),
        "best_box_iou_03": float(np.mean(np.array(overlaps) >= 0.3)),
        "best_box_iou_05": float(np.mean(np.array(overlaps) >= 0.5)),
        "count_right": float(np.mean(counts)),
        "count_right_always_one": float(np.mean([len(b) == 1 for photo in photos for b in photo.boxes.values()])),
    }


def hottest(found: Grounding, sight: Seen) -> tuple[float, float]:
    """The place of a heat map's maximum, in the picture's pixels."""
    height, width = found.heatmap.shape
    row, column = np.unravel_index(found.heatmap.argmax(), found.heatmap.shape)
    return (column + 0.5) / width * sight.width, (row + 0.5) / height * sight.height


def inside(boxes: NDArray[np.float32], x: float, y: float) -> bool:
    """Whether a place lies in one of the boxes."""
    return bool(((boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3])).any())


def overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Intersection over union of two boxes."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(sides.clip(0)))
    return shared / (float(np.prod(one[2:] - one[:2])) + float(np.prod(other[2:] - other[:2])) - shared)


def presence_figures(
    model: open_autoglm.Model, photos: Sequence[Photo], seen: Sequence[Seen], categories: Sequence[str]
) -> dict[str, float]:
    """Right answers over all draws, their spread, how many of the first draw were answered, and the area."""
    queries = [model.embed_queries([sentence(f"a {name}")]) for name in categories]
    chances = np.array([[presence(model, sight, query) for query in queries] for sight in seen])
    there = np.array([[name in photo.boxes for name in categories] for photo in photos])
    draws = [draw(there, seed) for seed in range(DRAWS)]
    right = [np.mean([(chances[cell] > 0.5) == there[cell] for cell in cells]) for cells in draws]
    answers = AlignmentAnswers(model)
    questions = [read_question(f"Is there a {name}?", model.known_names) for name in categories]
    asked = [answers.look_for(seen[row], questions[column]).text for row, column in draws[0]]
    wanted = ["yes" if there[cell] else "no" for cell in draws[0]]
    given = [(text, want) for text, want in zip(asked, wanted, strict=True) if text is not None]
    return {
        "presence_right": float(np.mean(right)),
        "presence_right_lowest": float(np.min(right)),
        "presence_right_highest": float(np.max(right)),
        "presence_answered": len(given) / len(asked),
        "presence_right_where_answered": float(np.mean([text == want for text, want in given])),
        "presence_auc": area(chances[there], chances[~there]),
        "presence_yes_where_there": float((chances[there] > 0.5).mean()),
        "presence_no_where_not": float((chances[~there] <= 0.5).mean()),
    }


def draw(there: NDArray[np.bool_], seed: int) -> list[tuple[int, int]]:
    """For each photo that has any, one category that is there and one that is not: rows and columns."""
    random = np.random.default_rng(seed)
    cells = []
    for row in np.flatnonzero(there.any(axis=1)).tolist():
        cells += [(row, int(random.choice(np.flatnonzero(there[row] == wanted)))) for wanted in (True, False)]
    return cells


def area(higher: NDArray[np.float64], lower: NDArray[np.float64]) -> float:
    """The area under the receiver operating curve: how often one is above the other."""
    order = np.sort(lower)
    below = np.searchsorted(order, higher, "left") + np.searchsorted(order, higher, "right")
    return float(below.mean() / 2 / len(lower))


if __name__ == "__main__":
    main()
