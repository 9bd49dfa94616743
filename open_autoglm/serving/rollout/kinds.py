"""The two kinds of work that a rollout tells apart, and how versions of a model are named.

It knows tasks and names; it knows nothing of rollouts under way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from ..answering import ANSWERS
from ..work import EMBEDDINGS, Task

Kind = Literal["answers", "embeddings"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_OF_TASK: dict[type, Kind] = {
    **dict.fromkeys(ANSWERS, "answers"),
    **dict.fromkeys(EMBEDDINGS, "embeddings"),
}


def kind_of(task: Task) -> Kind | None:
    """Vectors are compared with others of the same space; an answer stands by itself.

    None for work that belongs to one version, such as a part of its graphs, and can be done by no other.
    """
    return _OF_TASK.get(type(task))


def public_name(version: str) -> str:
    """``photos`` of ``photos@2``; a name without a version is its own."""
    name, mark, number = version.rpartition("@")
    return name if mark and name and number else version


def next_version(public: str, taken: Iterable[str]) -> str:
    """A version of the name that is not taken: one above the highest; a name without a version counts as the first."""
    numbers = [1]
    for version in taken:
        number = version.rpartition("@")[2]
        if public_name(version) == public and number.isdecimal():
            numbers.append(int(number))
    return f"{public}@{max(numbers) + 1}"
