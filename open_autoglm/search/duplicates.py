"""Groups pictures that are nearly the same, each around the one that is best to keep.

It knows fingerprints and what makes a picture the better one; it knows nothing about files, models or storage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError
from .looks import CHANNELS, SIDE, coarse, distance, fingerprints, likeness
from .records import Record, Skipped

Ids = NDArray[np.int64]

# Copies saved again, shrunk, or brightened have 0.98 and more, with a thirtieth cut off each side mostly 0.9; the most
# alike of different pictures hardly reach it (benchmarks/looks.py).
THRESHOLD = 0.95
DOTS = SIDE * SIDE * CHANNELS  # numbers a picture
ROWS_AT_ONCE = 1024
ROUNDING = 1e-4  # of squared distances from inner products


@dataclass(frozen=True)
class Twin:
    """A picture that is nearly the same as the one to keep; ``likeness`` is 1 for the very same dots."""

    record: Record
    likeness: float


@dataclass(frozen=True)
class Group:
    """Pictures nearly the same: the best, with the most pixels, then bytes, to ``keep``; the others by likeness."""

    keep: Record
    others: tuple[Twin, ...]


@dataclass(frozen=True)
class Duplicates:
    """Groups of at least two, the largest first, among the pictures ``compared``; ``skipped`` could not be seen."""

    groups: tuple[Group, ...]
    compared: int
    skipped: tuple[Skipped, ...]


def check_threshold(threshold: object) -> float:
    """The threshold as a float. SettingError unless it is a number over 0.5 and at most 1."""
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0.5 < threshold <= 1:
        raise SettingError(f"The threshold is {threshold!r}: give a number over 0.5 and at most 1, as {THRESHOLD}.")
    return float(threshold)


def grouped(dots: Mapping[int, bytes], records: Mapping[int, Record], threshold: float) -> tuple[Group, ...]:
    """Groups among the pictures whose dots and records are given.

    Each picture is compared with the one to keep, never through a third: what a group offers to delete is nearly the
    same as what stays.
    """
    best_first = sorted((records[id] for id in dots if id in records), key=_goodness)
    seen = np.frombuffer(b"".join(dots[one.id] for one in best_first), np.uint8).reshape(-1, DOTS)
    near: dict[int, list[int]] = {}
    for first, second in pairs(seen, threshold):
        near.setdefault(first, []).append(second)
    groups = []
    taken = set[int]()
    for row in sorted(near):
        if row in taken:
            continue
        rows = [other for other in sorted(near[row]) if other not in taken]
        if not rows:
            continue
        taken.update(rows)
        kept, *others = fingerprints(seen[[row, *rows]])
        alike = likeness(kept, np.stack(others))
        twins = [Twin(best_first[other], round(float(one), 4)) for other, one in zip(rows, alike, strict=True)]
        groups.append(Group(best_first[row], tuple(sorted(twins, key=lambda twin: (-twin.likeness, twin.record.id)))))
    return tuple(sorted(groups, key=lambda group: (-len(group.others), group.keep.id)))


def pairs(dots: NDArray[np.uint8], threshold: float) -> Iterator[tuple[int, int]]:
    """All pairs of rows (the lower first) that are so alike, of dots [n, 768], in no order.

    Memory grows with the rows, not with their pairs: blocks are compared at 4 x 4 dots, where nothing is further apart
    than in full, and only along the direction in which the pictures differ most as far as the threshold reaches.
    """
    if len(dots) < 2:
        return
    reach = distance(threshold)
    blocks = range(0, len(dots), ROWS_AT_ONCE)
    small = np.concatenate([coarse(fingerprints(dots[start : start + ROWS_AT_ONCE])) for start in blocks])
    small -= small.mean(axis=0)
    along = small @ np.linalg.eigh(small.T @ small)[1][:, -1]
    order = np.argsort(along, kind="stable")
    small, along = small[order], along[order]
    halves = np.einsum("nd,nd->n", small, small) / 2
    nearest = halves - np.float32((reach * reach + ROUNDING) / 2)
    ends = np.searchsorted(along, along + np.float32(reach + ROUNDING), side="right")
    for start in blocks:
        rows = slice(start, min(start + ROWS_AT_ONCE, len(small)))
        for begin in range(start, int(ends[rows.stop - 1]), ROWS_AT_ONCE):
            columns = slice(begin, min(begin + ROWS_AT_ONCE, len(small)))
            products = small[rows] @ small[columns].T
            products -= halves[columns]
            ones, others = np.nonzero(products >= nearest[rows, None])
            ones, others = ones + start, others + begin
            later = others > ones
            yield from _close(dots, order[ones[later]], order[others[later]], reach)


def _close(dots: NDArray[np.uint8], ones: Ids, others: Ids, reach: float) -> Iterator[tuple[int, int]]:
    """Those pairs that are as near in full."""
    for start in range(0, len(ones), ROWS_AT_ONCE):
        first, second = ones[start : start + ROWS_AT_ONCE], others[start : start + ROWS_AT_ONCE]
        near = np.square(fingerprints(dots[first]) - fingerprints(dots[second])).sum(axis=1) <= reach * reach
        lower, upper = np.minimum(first, second)[near], np.maximum(first, second)[near]
        yield from zip(lower.tolist(), upper.tolist(), strict=True)


def _goodness(record: Record) -> tuple[int, int, int]:
    return -record.width * record.height, -record.size, record.id
