"""The second stage of a search: the best pictures are read again and judged by the model's fusion decoder.

It knows hits and a model that matches; it knows nothing about how the first stage found them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, SettingError
from .records import Hit, Record

if TYPE_CHECKING:
    from ..runtime.matching import Matching

Floats = NDArray[np.float32]


def check_rerank(rerank: int, k: int, text: str | None) -> None:
    """Raises SettingError where so many pictures cannot be looked at twice."""
    if text is None:
        raise SettingError("Only a search by words can look twice, by one text and no picture: leave out rerank.")
    if rerank < k:
        raise SettingError(f"rerank is {rerank} and k is {k}: look twice at as many pictures as are wanted, at least.")


def look_again(
    matching: Matching, text: str, hits: Sequence[Hit], records: Mapping[int, Record], views: Floats
) -> list[Hit]:
    """The hits, of vectors [k, views, d], by the probability that the text belongs to them; equal ones as they were.

    A picture that cannot be read any more keeps its place, and has a ``note`` that says why.
    """
    looked = [look(matching, text, hit, records[hit.id]) for hit in hits]
    seen = [row for row, one in enumerate(looked) if isinstance(one, float)]
    if seen:
        scores, logits = np.array([(hits[row].score, looked[row]) for row in seen], np.float32).T
        chances = matching.again(scores, logits, views[seen])
        best = iter(np.argsort(-chances, kind="stable").tolist())
        for row in seen:
            place = next(best)
            looked[row] = replace(hits[seen[place]], match=round(float(chances[place]), 6))
    return [one for one in looked if isinstance(one, Hit)]


def look(matching: Matching, text: str, hit: Hit, record: Record) -> float | Hit:
    """The decoder's logit, or the hit with a note."""
    try:
        return float(matching.logits(record.file, [text])[0])
    except ImageError as error:
        return replace(hit, note=str(error))
