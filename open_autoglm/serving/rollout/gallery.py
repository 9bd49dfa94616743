"""A fixed set of pictures that each version ranks by its own vectors, and queries whose right pictures are known.

It reads them from a folder or a file; it knows nothing of where the vectors come from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ImageError, SettingError
from ...evaluation.retrieval import average_precision
from ...runtime.images import size

MOST = 500  # pictures of a probe, which each version looks at once
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif"})


@dataclass(frozen=True)
class Known:
    """A query, and the positions of the probe's pictures that are right for it."""

    query: str
    right: frozenset[int]


@dataclass(frozen=True)
class Probe:
    """Pictures' bytes, and queries over them, if any are known."""

    pictures: tuple[bytes, ...]
    known: tuple[Known, ...] = ()

    @classmethod
    def read(cls, source: str) -> Probe:
        """A folder of pictures, or a JSONL file of {"query": text, "right": [path, ...]} and {"picture": path}.

        Paths are relative to the file. Raises SettingError, which names the line.
        """
        path = Path(source)
        if path.is_dir():
            found = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in _SUFFIXES][:MOST]
            if not found:
                raise SettingError(f"The probe {source} is a folder without pictures.")
            return cls(tuple(map(_picture, found)))
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            raise SettingError(f"The probe {source} is not on the server: give a folder or a file there.") from None
        except UnicodeDecodeError:
            raise SettingError(f"The probe {source} is neither a folder nor a text that names pictures.") from None
        return _parsed(lines, path)


def _parsed(lines: Sequence[str], path: Path) -> Probe:
    positions: dict[str, int] = {}
    known: list[Known] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            names = [entry["picture"]] if "picture" in entry else list(entry["right"])
            query = entry.get("query")
            if not names or not all(isinstance(name, str) for name in [*names, *([query] if query else [])]):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise SettingError(
                f'Line {number} of {path} is not understood: write {{"query": text, "right": [path, ...]}} '
                'or {"picture": path}.'
            ) from None
        right = frozenset(positions.setdefault(name, len(positions)) for name in names)
        if query:
            known.append(Known(query, right))
    if not positions or len(positions) > MOST:
        raise SettingError(f"The probe {path} has {len(positions)} pictures: give between 1 and {MOST}.")
    return Probe(tuple(_picture(path.parent / name) for name in positions), tuple(known))


def _picture(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        size(content)
    except OSError as error:
        raise SettingError(f"The probe's picture {path} cannot be read: {error.strerror}.") from None
    except ImageError as error:
        raise SettingError(f"The probe's picture {path} cannot be used: {error}") from None
    return content


@dataclass(frozen=True)
class Gallery:
    """A probe's pictures as one version sees them: unit vectors [pictures, views, dimension]."""

    views: NDArray[np.float32]

    def ranking(self, query: NDArray[np.float32]) -> NDArray[np.int64]:
        """The pictures' positions by the best view's cosine with a vector [dimension], best first."""
        scores = (self.views @ query).max(axis=1)
        return np.argsort(-scores, kind="stable")

    def score(self, query: NDArray[np.float32], right: frozenset[int]) -> float:
        """The average precision of the ranking, in 0..1: 1 where all right pictures come first."""
        relevant = np.isin(self.ranking(query), list(right))
        return average_precision(relevant, len(right))


def gallery(views: Sequence[Any]) -> Gallery:
    """Of each picture's vectors [views, dimension], in the probe's order."""
    return Gallery(np.stack([np.asarray(each, np.float32) for each in views]))
