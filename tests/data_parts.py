"""What the tests of training data share: drawn pictures, and a table of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def drawn(seed: int, size: int = 48) -> Image.Image:
    """A picture of coloured patches, another one for each seed."""
    random = np.random.default_rng(seed)
    patches = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((size, size + 8), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str = "PNG", quality: int = 90) -> bytes:
    file = io.BytesIO()
    image.save(file, form, quality=quality)
    return file.getvalue()


def draw_folder(folder: Path, count: int) -> list[str]:
    """``0.png`` and so on in ``folder / pictures``; their paths from ``folder``."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / "pictures" / f"{number}.png").write_bytes(encoded(drawn(number)))
    return [f"pictures/{number}.png" for number in range(count)]


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(path)
