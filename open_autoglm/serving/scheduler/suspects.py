"""Items that a worker died of: the first time they are suspected and run alone, the second time they are refused.

It knows tasks by what is in them; it knows nothing of queues or processes.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from ...errors import ImageError, OpenAutoGLMError, TextError
from ..work import EmbedQuery, EmbedText, RunGraph, Task

_MOST = 10_000
Name = tuple[str, type[Task], int]


class Suspects:
    """What to think of an item, for ``seconds`` after a worker last died of it.

    An item is known by Python's keyed hash of its content, which nobody outside can aim at another's.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._deaths: OrderedDict[Name, tuple[int, float]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._deaths)

    def accuse(self, model: str, tasks: Iterable[Task], alone: bool) -> None:
        """A worker died while it had these; only of what was ``alone`` is it known that it was to blame."""
        for task in tasks:
            if isinstance(task, RunGraph):  # part of something larger: it comes again as another
                continue
            name = _name(model, task)
            known = self._known(name)
            self._deaths[name] = (known + 1 if alone else max(1, known), self._clock())
            self._deaths.move_to_end(name)
        while len(self._deaths) > _MOST:
            self._deaths.popitem(last=False)

    def acquit(self, model: str, task: Task) -> None:
        """A worker had this alone and lives."""
        self._deaths.pop(_name(model, task), None)

    def suspected(self, model: str, task: Task) -> bool:
        """Whether it is to be run alone."""
        return bool(self._deaths) and self._known(_name(model, task)) > 0

    def refusal(self, model: str, task: Task) -> OpenAutoGLMError | None:
        """Why it is not run again, if it is not: it was alone when a worker died the second time."""
        if not self._deaths or self._known(_name(model, task)) < 2:
            return None
        minutes = max(1, round(self._seconds / 60))
        kind, what = (TextError, "text") if isinstance(task, EmbedText | EmbedQuery) else (ImageError, "picture")
        return kind(
            f"The model's process died twice of this {what}: it is refused for {minutes} min; "
            "save it in another way, or leave it out."
        )

    def _known(self, name: Name) -> int:
        deaths, when = self._deaths.get(name, (0, 0.0))
        if deaths and self._clock() - when > self._seconds:
            del self._deaths[name]
            return 0
        return deaths


def _name(model: str, task: Task) -> Name:
    return model, type(task), hash(task)
