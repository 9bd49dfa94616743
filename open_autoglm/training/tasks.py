"""The tasks that a recipe can name.

It knows their names; it knows nothing about how they are trained.
"""

from __future__ import annotations

from collections.abc import Mapping

from .aligning import Aligning
from .answering import Answering
from .describing import Describing
from .matching import Matching
from .task import Task

TASKS: Mapping[str, Task] = {
    "align": Aligning(),
    "answer": Answering(),
    "describe": Describing(),
    "match": Matching(),
}
"""By name, ``Recipe.task``."""
