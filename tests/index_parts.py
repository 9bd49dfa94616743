"""What the tests of the index share: a model that sees colours, in three views, and pictures of plain colours."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from open_autoglm.errors import TextError
from open_autoglm.runtime.images import ImageLimits, Preprocessing, decode, prepare
from open_autoglm.runtime.similarity import Cosine, Queries
from open_autoglm.search import Index

ROOT = Path(__file__).parent.parent
COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230), "white": (230, 230, 230)}
DIMENSION = 32


class ColourModel:
    """A view's vector is its histogram over 27 colours: of the whole, the left and the right half."""

    name = "colours"
    bundle = SimpleNamespace(path=Path("colours"))  # of which an index only notes where it lies
    dimension = DIMENSION
    views = 3
    batch_size = 16
    similarity = Cosine()
    preprocessing = Preprocessing(16, 16, "squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    def __init__(self, space: str = "colours-1", limits: ImageLimits | None = None) -> None:
        self.space = space
        self.limits = limits or ImageLimits()
        self.embedded = 0

    def embed_prepared(self, pixels: np.ndarray) -> np.ndarray:
        self.embedded += len(pixels)
        views = [pixels, pixels[:, :, :8], pixels[:, :, 8:]]
        return np.stack([[histogram(picture) for picture in view] for view in views], axis=1)

    def embed_images(self, images: Sequence[Any]) -> np.ndarray:
        prepared = [prepare(image, self.preprocessing, self.limits) for image in images]
        return np.stack([histogram(pixels) for pixels in prepared])

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), DIMENSION), np.float32)
        for row, text in enumerate(texts):
            if not text.strip():
                raise TextError("The text is empty: type at least one word.")
            word = next((word for word in text[:1000].split() if word in COLOURS), None)
            vectors[row] = histogram(np.array(COLOURS[word])) if word else np.eye(DIMENSION)[-1]
        return vectors

    def embed_queries(self, texts: Sequence[str]) -> Queries:
        return Queries(self.embed_texts(texts))

    def cutoff(self, queries: np.ndarray) -> np.ndarray:
        return np.full(len(queries), 0.5, np.float32)


def histogram(pixels: np.ndarray) -> np.ndarray:
    """The unit vector of how often each of 27 colours occurs."""
    thirds = pixels.reshape(-1, 3).astype(int) // 86
    counts = np.bincount(thirds @ [9, 3, 1], minlength=DIMENSION).astype(np.float32)
    return counts / np.linalg.norm(counts)


def paint(path: Path, left: str = "red", right: str | None = None, size: tuple[int, int] = (64, 48)) -> Path:
    """A PNG of one or two colours; its bytes depend on nothing else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", size, COLOURS[left])
    picture.paste(COLOURS[right or left], (size[0] // 2, 0, *size))
    picture.save(path)
    return path


def paint_many(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """``count`` pictures of different bytes in subfolders of ten."""
    rng = random.Random(seed)
    paths = []
    for number in range(count):
        path = folder / f"{number // 10}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.frombuffer(rng.randbytes(8 * 8 * 3), np.uint8).reshape(8, 8, 3)
        Image.fromarray(pixels).save(path)
        paths.append(path)
    return paths


def make(folder: Path, model: ColourModel | None = None) -> Index:
    """An empty index at ``folder``/colours.index."""
    return Index.create(folder / "colours.index", model or ColourModel())


def names(hits: Sequence[Any]) -> list[str]:
    """The file names of hits, in their order."""
    return [Path(hit.path).name for hit in hits]


def everything(index: Index) -> list[str]:
    """The file names of all pictures of an index, sorted."""
    return sorted(names(index.search("red", k=10**6, cut=False)))


def environment() -> dict[str, str]:
    """For Python processes that use the package and these parts."""
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}


class SecondLook:
    """Takes small pictures for the better match, and reads each file again for it."""

    def __init__(self, limits: ImageLimits | None = None) -> None:
        self.limits = limits or ImageLimits()

    def logits(self, image: Any, texts: list[str]) -> np.ndarray:
        return np.array([-decode(image, self.limits).shape[1]], np.float32)

    def again(self, similarities: np.ndarray, logits: np.ndarray, views: np.ndarray) -> np.ndarray:
        assert len(similarities) == len(logits) == len(views)
        return -1 / logits
