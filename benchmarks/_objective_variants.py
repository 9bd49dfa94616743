"""The trainings that ``objectives.py`` compares, each as changes to one common recipe.

It knows recipes; it knows nothing about how they are run or measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SIZE = 96
BATCH = 64
TEMPLATE = "a photo of a {}"
QUEUE = {"name": "queue_contrastive", "settings": {"size": 1024}}
RATES = {"image_head": 2e-3, "text_head": 2e-3}
# The target encoder has to follow within a hundred steps; the papers' 0.995 takes tens of thousands.
MOMENTUM = {"start": 0.9, "end": 0.98}


def triplet(mining: str, steps: int, warm: bool = False) -> dict[str, Any]:
    """A margin of 0.2 (VSE++), which rises over the first half of the training where it is to ``warm`` up."""
    return {"name": "triplet", "settings": {"margin": 0.2, "warmup_steps": steps // 2 if warm else 0, "mining": mining}}


def variants(steps: int) -> dict[str, dict[str, Any]]:
    """Changes to the recipe by section, in the order of the table.

    ``triplet_none`` takes the mean over all negatives of a batch; ``full`` is the sum of the queue's loss, with the
    momentum encoder, and the triplet loss with hard mining and a margin that warms up.
    """
    hard = triplet("hard", steps, warm=True)
    return {
        "contrastive": {"objective": {"name": "contrastive"}},
        "queue": {"objective": QUEUE},
        "queue_momentum": {"objective": QUEUE, "momentum": MOMENTUM},
        "triplet_none": {"objective": triplet("none", steps)},
        "triplet_semi_hard": {"objective": triplet("semi_hard", steps)},
        "triplet_hard": {"objective": hard},
        # The bias is the log-odds of a pair in a batch of this size; the paper's -10 is for batches of ten thousands.
        "siglip": {
            "objective": {"name": "siglip", "settings": {"bias": -4.0}},
            "optimisation": {"rates": RATES | {"objective": 2e-3}},
        },
        "region_word": {"objective": {"name": "contrastive"}, "model": {"similarity": "region_word"}},
        "full": {"objective": [QUEUE, hard], "momentum": MOMENTUM},
    }


def content(
    variant: Mapping[str, Any], start: Path, groceries: Path, runs: Path, steps: int, seed: int
) -> dict[str, Any]:
    """The recipe as its YAML would say it: the towers' last blocks and fresh heads learn, the rest is frozen."""
    common: dict[str, Any] = {
        "name": "objectives",
        "model": {"start": str(start)},
        "data": {"train": source(groceries, "train"), "validation": source(groceries, "val")},
        "optimisation": {
            "learning_rate": 2e-4,
            "rates": RATES,
            "frozen": [
                "vision.tower.stem",
                *(f"vision.tower.blocks.{number}" for number in range(13)),
                "text.tower.embeddings",
                *(f"text.tower.encoder.layer.{number}" for number in range(5)),
            ],
            "steps": steps,
            "batch_size": BATCH,
            "chunk": None,
            "seed": seed,
        },
        "evaluation": {"every": steps},
        "output": {"folder": str(runs), "checkpoint_minutes": 1e9},
    }
    parts = ("model", "optimisation")
    return common | variant | {part: common[part] | variant.get(part, {}) for part in parts}


def source(groceries: Path, split: str) -> dict[str, Any]:
    """A split with three captions a picture: the product's name, name and kind, and the start of its description."""
    return {
        "path": str(groceries / f"{split}.parquet"),
        "join": {"path": str(groceries / "classes.parquet"), "by": "fine_id"},
        "picture": "image",
        "label": "fine",
        "templates": [TEMPLATE, "{fine}, a kind of {coarse}", "{description}"],
        "positives": "class",
        "max_characters": 90,
        "check": "none",
    }
