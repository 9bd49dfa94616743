"""The second stage of a search: the best pictures are read again and judged by the model's fusion decoder.

It knows hits and a model that matches; it knows nothing about vectors or how the first stage found them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import ImageError, SettingError
from .records import Hit, Record

if TYPE_CHECKING:
    from ..runtime.matching import Matching


def check_rerank(rerank: int, k: int, text: str | None) -> None:
    """Raises SettingError where so many pictures cannot be looked at twice."""
    if text is None:
        raise SettingError("Only a search by words can look twice: leave out rerank.")
    if rerank < k:
        raise SettingError(f"rerank is {rerank} and k is {k}: look twice at as many pictures as are wanted, at least.")


def look_again(matching: Matching, text: str, hits: Sequence[Hit], records: Mapping[int, Record]) -> list[Hit]:
    """The hits ordered by the probability that the text belongs to them; equal ones stay as they were.

    A picture that cannot be read any more keeps its place, and has a ``note`` that says why.
    """
    judged = [judge(matching, text, hit, records[hit.id]) for hit in hits]
    ranked = iter(sorted((hit for hit in judged if hit.match is not None), key=lambda hit: -(hit.match or 0.0)))
    return [hit if hit.match is None else next(ranked) for hit in judged]


def judge(matching: Matching, text: str, hit: Hit, record: Record) -> Hit:
    """The hit with its probability, or with a note."""
    try:
        return replace(hit, match=round(matching.again(record.file, text, hit.score), 6))
    except ImageError as error:
        return replace(hit, note=str(error))
