"""Divides records into training and validation so that what belongs together stays together.

It knows keys and groups; it knows nothing about training.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from hashlib import blake2b

from open_autoglm.errors import DataError

from .labels import components
from .records import Records


def split(records: Records, share: float = 0.1, seed: int = 0) -> tuple[Records, Records]:
    """Training and validation records; ``share`` of the pictures, nearly, go to the second.

    Records of one picture or one group (an example's id) are never divided. The same records and seed give the same
    split whatever their order. Problems stay with the first part. Raises DataError where either part would be empty.
    """
    if not 0 < share < 1:
        raise DataError(f"The share for validation is {share}: give one between 0 and 1.")
    members = [
        [("picture", record.key), *([("group", record.group)] if record.group is not None else [])]
        for record in records
    ]
    whole = components(members).tolist()
    names: dict[int, str] = {}
    for number, record in zip(whole, records, strict=True):
        name = record.group if record.group is not None else record.key
        names[number] = min(names.get(number, name), name)
    sizes = Counter(whole)
    wanted, taken, second = share * len(records), 0, set[int]()
    for number in sorted(sizes, key=lambda one: blake2b(f"{seed}:{names[one]}".encode(errors="replace")).digest()):
        # A group goes where it brings the size nearer to what is wanted.
        if abs(taken + sizes[number] - wanted) <= abs(taken - wanted):
            second.add(number)
            taken += sizes[number]
    if not 0 < taken < len(records):
        raise DataError(
            f"{len(records):,} pictures in {len(sizes):,} groups cannot be split so that {share:.0%} are for "
            "validation: change the share, or name a validation set of its own."
        )
    first = (index for index, number in enumerate(whole) if number not in second)
    others = (index for index, number in enumerate(whole) if number in second)
    return replace(records.select(first), problems=records.problems, rows=records.rows), records.select(others)
