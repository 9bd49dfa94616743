"""What a model is asked for each task about one picture: the place where a task becomes a call.

It knows tasks and the model's face; it knows nothing of queues, processes or memories.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .work import Ask, Classify, Describe, Ground, Match, Task

if TYPE_CHECKING:
    from ..runtime.model import Model

ANSWERS: Mapping[type[Task], Callable[[Model, Any], Any]] = {
    Ask: lambda model, task: model.ask(task.content, task.question, task.choices),
    Classify: lambda model, task: model.classify(task.content, task.labels),
    Describe: lambda model, task: model.describe(task.content),
    Ground: lambda model, task: model.ground(task.content, task.text),
    Match: lambda model, task: model.match(task.content, task.texts),
}
