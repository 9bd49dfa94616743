"""Is the sentence true of the picture? The model of ``recipes/nlvr.yaml`` on Cornell NLVR's public test split.

Each picture is judged in all six orders of its three boxes, from its pixels alone, without torch. Accuracy is over all
of these; consistent is a sentence that is judged right of all its pictures in all their orders. Controls: the same
model without the picture (an empty one in its place) and without the sentence (the same words for all).

Published, from pictures, trained on all 12.4 thousand labelled examples: majority class 56 %, neural module networks
66 %, CNN-BiATT 69.7 %, CMM 69.9 %. This model is trained on 1,000 of those and on drawn scenes with generated
sentences (``scripts/nlvr``), and tuned on dev.
"""

from __future__ import annotations

import argparse
import io
import itertools
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from _record import record
from PIL import Image
from rich.progress import track

import open_autoglm
from open_autoglm.runtime.fusion import FusionAnswering

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "nlvr"
LEFTS, SIDE = (0, 150, 300), 100
ORDERS = tuple(itertools.permutations(range(3)))
NO_SENTENCE = "there is a box"
QUICK = 15  # every fifteenth picture


def main() -> None:
    """Judges every picture, and records accuracy, consistency and controls."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every fifteenth picture")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with dev.parquet and test.parquet")
    parser.add_argument("--split", default="test", choices=["dev", "test"])
    parser.add_argument("--model", default="open-autoglm-nlvr")
    arguments = parser.parse_args()
    began = time.perf_counter()
    fusion = open_autoglm.load(arguments.model).fusion
    columns = ["identifier", "sentence", "label", "image"]
    rows = pq.read_table(arguments.data / f"{arguments.split}.parquet", columns=columns).to_pylist()
    rows = rows[::QUICK] if arguments.quick else rows
    empty = fusion.look(fusion.prepare(np.full((SIDE, LEFTS[-1] + SIDE, 3), 255, np.uint8)))
    right, blind, mute = list[list[bool]](), list[bool](), list[bool]()
    for row in track(rows, "Judging"):
        found = np.array([judge(fusion, picture, row["sentence"]) for picture in orders(row["image"])])
        right.append((found[:, 0] == row["label"]).tolist())
        mute.append(bool(found[0, 1] == row["label"]))
        blind.append(bool((fusion.chances_of_truth(empty, [row["sentence"]])[0] > 0.5) == row["label"]))
    sentences = defaultdict[str, list[bool]](list)
    for row, judged in zip(rows, right, strict=True):
        sentences[row["identifier"].split("-")[0]] += judged
    truth = float(np.mean([row["label"] for row in rows]))
    figures = {
        "pictures": float(len(rows)),
        "accuracy": float(np.mean(right)),
        "accuracy_as_given": float(np.mean([judged[0] for judged in right])),
        "consistency": float(np.mean([all(judged) for judged in sentences.values()])),
        "majority": max(truth, 1 - truth),
        "without_picture": float(np.mean(blind)),
        "without_sentence": float(np.mean(mute)),
    }
    settings = {"model": arguments.model, "split": arguments.split, "quick": arguments.quick}
    record("nlvr", settings, figures, time.perf_counter() - began)


def orders(image: bytes) -> list[np.ndarray]:
    """The picture with its boxes in all six orders, as they are first."""
    pixels = np.array(Image.open(io.BytesIO(image)).convert("RGB"))
    boxes = [pixels[:, left : left + SIDE].copy() for left in LEFTS]
    made = []
    for order in ORDERS:
        changed = pixels.copy()
        for left, box in zip(LEFTS, order, strict=True):
            changed[:, left : left + SIDE] = boxes[box]
        made.append(changed)
    return made


def judge(fusion: FusionAnswering, pixels: np.ndarray, sentence: str) -> tuple[bool, bool]:
    """Whether the sentence, and one that says nothing, are judged true of the picture."""
    chances = fusion.chances_of_truth(fusion.look(fusion.prepare(pixels)), [sentence, NO_SENTENCE])
    return bool(chances[0] > 0.5), bool(chances[1] > 0.5)


if __name__ == "__main__":
    main()
