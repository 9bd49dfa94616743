"""Whole numbers by which training knows that two pictures match each other's texts.

It knows captions and classes; it knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def components(memberships: Sequence[Iterable[Hashable]]) -> NDArray[np.int64]:
    """One number an item [n], from 0: items that share a member, directly or through others, get the same."""
    parent = list(range(len(memberships)))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    first: dict[Hashable, int] = {}
    for item, members in enumerate(memberships):
        for member in members:
            one, other = root(first.setdefault(member, item)), root(item)
            parent[max(one, other)] = min(one, other)
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(root(item), len(numbers)) for item in range(len(parent))], np.int64)
