"""Embeds many pictures and sentences, passing over those that cannot be used, and writes the vectors.

It knows the model's face and the two file formats; it knows nothing of indexes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, SettingError, TextError
from ..runtime.model import Model

Report = Callable[[int, int], None]
Embed = Callable[[Sequence[str]], NDArray[np.float32]]
FORMATS = (".npy", ".jsonl")
AT_ONCE = 16  # inputs embedded together


@dataclass(frozen=True)
class Embedded:
    """Vectors [n, dimension] of ``inputs`` (``{"image": path}`` or ``{"text": sentence}``), in their order.

    The row of an input in ``skipped`` (its position, to the reason) is NaN.
    """

    model: str
    space: str
    inputs: tuple[dict[str, str], ...]
    vectors: NDArray[np.float32]
    skipped: dict[int, str]

    @property
    def used(self) -> int:
        """How many inputs have a vector."""
        return len(self.inputs) - len(self.skipped)

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return int(self.vectors.shape[1])

    def lines(self) -> Iterator[dict[str, Any]]:
        """A JSON object for each input that has a vector."""
        for row, what in enumerate(self.inputs):
            if row not in self.skipped:
                yield {**what, "vector": [float(f"{value:.7g}") for value in self.vectors[row].tolist()]}

    def describe(self) -> dict[str, Any]:
        """What was embedded with what, without the vectors."""
        skipped = [{**self.inputs[row], "reason": reason} for row, reason in self.skipped.items()]
        return {
            "model": self.model,
            "space": self.space,
            "dimension": self.dimension,
            "used": self.used,
            "skipped": skipped,
        }


def check_format(path: Path) -> None:
    """Raises SettingError where vectors cannot be written to ``path``."""
    if path.suffix not in FORMATS:
        raise SettingError(f"Vectors cannot be written to {path}: its name must end in {' or '.join(FORMATS)}.")
    if not path.parent.is_dir():
        raise SettingError(f"Vectors cannot be written to {path}: there is no folder {path.parent}.")


def embed_all(model: Model, files: Sequence[Path], texts: Sequence[str], report: Report) -> Embedded:
    """Vectors of the files, then of the texts; ``report`` is told how many of how many are done.

    Raises SettingError when there is nothing to embed, or nothing that can be.
    """
    pictures, sentences = [str(file) for file in files], list(texts)
    inputs = (*({"image": picture} for picture in pictures), *({"text": sentence} for sentence in sentences))
    if not inputs:
        raise SettingError("There is nothing to embed: give pictures, or sentences with --text.")
    vectors = np.full((len(inputs), model.dimension), np.nan, np.float32)
    skipped: dict[int, str] = {}
    row = 0
    for embed, wanted in ((model.embed_images, pictures), (model.embed_texts, sentences)):
        for start in range(0, len(wanted), AT_ONCE):
            part = wanted[start : start + AT_ONCE]
            vectors[row : row + len(part)], reasons = embed_part(embed, part, model.dimension)
            skipped |= {row + place: reason for place, reason in reasons.items()}
            row += len(part)
            report(row, len(inputs))
    if len(skipped) == len(inputs):
        raise SettingError(f"Nothing was embedded: {skipped[0]}")
    return Embedded(model.name, model.space, inputs, vectors, skipped)


def embed_part(embed: Embed, part: list[str], dimension: int) -> tuple[NDArray[np.float32], dict[int, str]]:
    """Vectors [n, dimension] of a few inputs, together; one by one where one of them cannot be used.

    Such a one has a row of NaN, and its reason by its place.
    """
    try:
        return embed(part), {}
    except (ImageError, TextError) as error:
        if len(part) == 1:
            return np.full((1, dimension), np.nan, np.float32), {0: str(error)}
    singles = [embed_part(embed, [one], dimension) for one in part]
    vectors = np.concatenate([vector for vector, _ in singles])
    return vectors, {place: reasons[0] for place, (_, reasons) in enumerate(singles) if reasons}


def write_vectors(embedded: Embedded, path: Path) -> None:
    """Writes an .npy array, or JSON lines; a file that is there is replaced once the new one is whole."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            if path.suffix == ".npy":
                np.save(file, embedded.vectors)
            else:
                file.writelines(json.dumps(line).encode() + b"\n" for line in embedded.lines())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise SettingError(f"Vectors cannot be written to {path} ({error.strerror}).") from error
