"""The labelled real pictures in every order of their boxes, which no sentence of NLVR looks at.

It knows nothing about made ones.
"""

from __future__ import annotations

import io
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from scripts.nlvr.drawing import PITCH
from scripts.nlvr.scenes import BOXES, SIDE

ORDERS = tuple(permutations(range(BOXES)))


def real_rows(path: Path) -> list[dict[str, Any]]:
    """Every example of the file in all six orders: ``identifier.0`` to ``identifier.5``, the first as it is."""
    rows = []
    for row in pq.read_table(path, columns=["identifier", "sentence", "label", "image"]).to_pylist():
        numbers, palette = numbered(np.asarray(Image.open(io.BytesIO(row["image"])).convert("RGB")))
        for number, order in enumerate(ORDERS):
            rows.append(
                {
                    "identifier": f"{row['identifier']}.{number}",
                    "sentence": row["sentence"],
                    "label": str(row["label"]).lower(),
                    "image": png(reorder(numbers, order), palette),
                    "kind": "real",
                }
            )
    return rows


def reorder(pixels: NDArray[np.uint8], order: tuple[int, ...]) -> NDArray[np.uint8]:
    """The picture ``[100, 400]`` with box ``order[i]`` in place ``i``; what lies between the boxes stays."""
    moved = pixels.copy()
    for place, box in enumerate(order):
        moved[:, place * PITCH : place * PITCH + SIDE] = pixels[:, box * PITCH : box * PITCH + SIDE]
    return moved


def numbered(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture ``[100, 400, 3]`` as numbers of its colours, ``[100, 400]``, and the colours; they are few."""
    packed = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    colours, numbers = np.unique(packed, return_inverse=True)
    palette = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1)
    return numbers.reshape(packed.shape).astype(np.uint8), palette.astype(np.uint8)


def png(numbers: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """The picture as a PNG, exactly."""
    picture = Image.fromarray(numbers, "P")
    picture.putpalette(palette.reshape(-1).tolist())
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=6)
    return stream.getvalue()
