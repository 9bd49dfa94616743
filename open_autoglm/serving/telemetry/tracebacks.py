"""A traceback that tells where something failed and of what kind, without saying what users wrote.

It knows exceptions; it knows nothing of logs.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def written(error: BaseException, content: bool) -> str:
    """As Python prints it; unless ``content``, without messages, which may quote what somebody sent."""
    if content:
        return "".join(traceback.format_exception(error)).rstrip()
    return "".join(_parts(error, set())).rstrip()


def _parts(error: BaseException, told: set[int]) -> Iterator[str]:
    told.add(id(error))
    for above, joint in ((error.__cause__, _CAUSE), (error.__context__, _CONTEXT)):
        if above is not None and id(above) not in told and not (joint is _CONTEXT and error.__suppress_context__):
            yield from _parts(above, told)
            yield joint
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(error.__traceback__)
    kind = type(error)
    yield f"{kind.__qualname__}\n" if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}\n"
    for number, inner in enumerate(error.exceptions if isinstance(error, BaseExceptionGroup) else (), 1):
        yield f"  ---------------- {number} ----------------\n"
        yield from ("  " + line for line in "".join(_parts(inner, told)).splitlines(keepends=True))
