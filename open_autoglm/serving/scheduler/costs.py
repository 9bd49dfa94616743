"""What a task costs before it is run, and how long as much took of late.

It knows pictures' headers and the lengths of texts; it knows nothing of queues.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from ...runtime.decoding import ImageLimits, open_picture
from ..work import EmbedQuery, EmbedText, RunGraph, Task

_FORGETTING = 0.8  # the weight of what was measured before a batch
_LEAST = 100_000  # pixels of a picture, however small: the model sees all of them at one size


@dataclass(frozen=True)
class Cost:
    """``units``: pixels, or characters of a text; ``size``: the bytes that are held while a task waits."""

    units: int
    size: int


def cost(task: Task, limits: ImageLimits) -> Cost:
    """What a task costs, from a picture's header alone. ImageError for what is no picture or is beyond the limits."""
    if isinstance(task, EmbedText | EmbedQuery):
        return Cost(max(1, len(task.text)), len(task.text))
    if isinstance(task, RunGraph):
        size = sum(array.nbytes for array in task.inputs.values())
        return Cost(size, size)
    width, height = open_picture(task.content, limits).image.size
    return Cost(max(_LEAST, width * height), len(task.content))


class Pace:
    """Seconds of work a unit of cost, for each kind of work, as measured; older measurements count less."""

    def __init__(self) -> None:
        self._measured: dict[Hashable, tuple[float, float]] = {}

    def note(self, kind: Hashable, units: int, seconds: float) -> None:
        """A batch of so many units took so long."""
        before_units, before_seconds = self._measured.get(kind, (0.0, 0.0))
        self._measured[kind] = (_FORGETTING * before_units + units, _FORGETTING * before_seconds + seconds)

    def seconds(self, kind: Hashable, units: int) -> float:
        """How long so many units are expected to take; 0 while nothing is known."""
        measured = self._measured.get(kind)
        return units * measured[1] / measured[0] if measured else 0.0
