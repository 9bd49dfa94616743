"""One request while it is answered: what its log line and its span will say, filled in by whoever knows.

It knows what there is to say; it knows nothing of who says it, nor of where it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field

from ..work import asking
from .spans import Attributes
from .traceparent import TraceParent


@dataclass(slots=True)
class Seen:
    """What is known of a request so far; ``parent`` is the span that its work belongs to."""

    parent: TraceParent
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    texts: list[str] = field(default_factory=list)
    _ends: list[Callable[[Attributes], None]] | None = field(default_factory=list, init=False)

    def defer(self, end: Callable[[Attributes], None]) -> None:
        """Calls ``end`` when the request is answered, with what is known only then; at once where it is already."""
        if self._ends is None:
            end({})
        else:
            self._ends.append(end)

    def close(self, known: Attributes) -> None:
        """It is answered; only the last that was deferred is given what is ``known``, which so is counted once."""
        ends, self._ends = self._ends or [], None
        for number, end in enumerate(reversed(ends)):
            end(known if number == 0 else {})


_current: ContextVar[Seen | None] = ContextVar("request", default=None)


def current() -> Seen | None:
    """The request that is being answered in this context, None outside of any."""
    return _current.get()


def begin(seen: Seen) -> None:
    """From now on ``seen`` is the request of this context, and of the tasks and threads that are started in it."""
    _current.set(seen)
    asking.set(seen.parent.header if seen.parent.sampled else "")


def note_model(name: str) -> None:
    """Says which model answered the present request, where no model that is watched was asked; nothing outside."""
    seen = current()
    if seen is not None and not seen.model:
        seen.model = name


def note_texts(texts: Iterable[str]) -> None:
    """Says in what words the present request asks, for where they may be logged; nothing outside of any."""
    seen = current()
    if seen is not None:
        seen.texts += texts


def note_tokens(input: int = 0, output: int = 0) -> None:
    """Adds to the tokens that the present request was counted; for nothing outside of any."""
    seen = current()
    if seen is not None:
        seen.input_tokens += input
        seen.output_tokens += output
