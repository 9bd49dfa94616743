"""A task in the terms of OpenTelemetry's GenAI semantic conventions: the operation, the model, the tokens.

It knows tasks and outcomes; it knows nothing of spans. https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from ..work import EMBEDDINGS, Ask, Describe, Job, Outcome, Task
from .request import Seen
from .spans import Attributes

PROVIDER = "open_autoglm"
TASKS = frozenset(kind.__name__ for kind in get_args(Task))


def task_name(task: Task) -> str:
    """The task as metrics, logs and spans call it."""
    return type(task).__name__


def operation(task: Task) -> str:
    """The conventions' name where they have one, else our own."""
    if isinstance(task, EMBEDDINGS):
        return "embeddings"
    if isinstance(task, Ask | Describe):
        return "generate_content"
    return task_name(task).lower()


def asked(jobs: Sequence[Job], model: str) -> Attributes:
    """What is known when jobs are asked of a model."""
    return {
        "gen_ai.operation.name": operation(jobs[0].task),
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": model,
        "autoglm.task": task_name(jobs[0].task),
        "autoglm.items": len(jobs),
    }


def answered(outcomes: Sequence[Outcome]) -> Attributes:
    """What is known when they are done."""
    found: dict[str, str | int] = {}
    if outcomes:
        found |= {"gen_ai.response.model": outcomes[0].model, "autoglm.space": outcomes[0].space}
    failures = [outcome.error for outcome in outcomes if outcome.error is not None]
    if failures:
        found |= {"error.type": type(failures[0]).__name__, "autoglm.items.failed": len(failures)}
    return found


def usage(seen: Seen) -> Attributes:
    """The tokens of a request, as far as they were counted."""
    counts = {"gen_ai.usage.input_tokens": seen.input_tokens, "gen_ai.usage.output_tokens": seen.output_tokens}
    return {name: count for name, count in counts.items() if count}
