"""A shop's questions about photos: the trained bundle on the validation split of the Grocery Store Dataset.

Every question is answered by the torch-free runtime, which may choose among all answers; each kind stands beside its
most frequent answer. ``scripts/make_grocery_questions.py`` makes the questions, ``recipes/grocery-questions.yaml``
trains the bundle on those about the train split.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from _record import record

import open_autoglm
from open_autoglm.runtime.fusion import FusionAnswering, softmax

QUESTIONS = Path("build/grocery-questions/val.parquet")
BUNDLE = "runs/grocery-questions/bundle"
QUICK = 8  # every eighth photo
BATCH = 64


def main() -> None:
    """Asks everything and records what was right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every eighth photo")
    parser.add_argument("--questions", type=Path, default=QUESTIONS, help="val.parquet of make_grocery_questions.py")
    parser.add_argument("--model", default=BUNDLE)
    arguments = parser.parse_args()
    began = time.perf_counter()
    model = open_autoglm.load(arguments.model)
    rows = pq.read_table(arguments.questions).to_pylist()
    photos = [list(same) for _, same in groupby(rows, key=lambda row: row["image"])]
    photos = photos[::QUICK] if arguments.quick else photos
    asked = [row for photo in photos for row in photo]
    found = [
        one for photo in photos for one in answers(model.fusion, photo[0]["image"], [row["question"] for row in photo])
    ]
    right = np.array([answer == row["answer"] for (answer, _), row in zip(found, asked, strict=True)])
    said = np.array([sure for _, sure in found]) >= model.fusion.least
    kinds, new = (np.array([row[name] for row in asked]) for name in ("kind", "new_wording"))
    usual = majority(asked)
    figures = {
        "photos": float(len(photos)),
        "questions": float(len(asked)),
        "accuracy": right.mean(),
        "majority": np.mean([usual[kind] for kind in kinds]),
        "accuracy_mean_of_kinds": np.mean([right[kinds == kind].mean() for kind in usual]),
        "accuracy_in_new_words": right[new].mean(),
        "answered": said.mean(),
        "accuracy_where_answered": right[said].mean(),
    }
    for kind, share in usual.items():
        name = kind.replace(" ", "_")
        figures |= {f"{name}_accuracy": right[kinds == kind].mean(), f"{name}_majority": share}
        figures[f"{name}_questions"] = float((kinds == kind).sum())
    settings = {"model": model.space, "answers": len(model.fusion.answers)}
    record("grocery_questions", settings, figures, time.perf_counter() - began)


def answers(fusion: FusionAnswering, picture: bytes, questions: Sequence[str]) -> Iterator[tuple[str, float]]:
    """The best answer to each question about a picture, and its probability."""
    looked = fusion.look(fusion.prepare(picture))
    for start in range(0, len(questions), BATCH):
        logits, _ = fusion.judge(looked, questions[start : start + BATCH])
        chances = softmax(logits / fusion.temperature)
        yield from ((fusion.answers[row.argmax()], float(row.max())) for row in chances)


def majority(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """By kind, how often its most frequent answer is right."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row["kind"]][row["answer"]] += 1
    return {kind: max(count.values()) / count.total() for kind, count in counts.items()}


if __name__ == "__main__":
    main()
