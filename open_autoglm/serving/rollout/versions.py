"""Which version stands behind a public name now: the live one, or the candidate for whom it may answer.

It is a function of what is served and of the state that all processes share; it knows nothing of how that changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..work import Job, Served
from .assignment import person, place
from .kinds import KINDS, Kind, kind_of, public_name
from .state import State


@dataclass(frozen=True)
class Versions:
    """``versions``: all that are served, the default first."""

    versions: Sequence[Served]
    state: State

    @cached_property
    def by_name(self) -> Mapping[str, Served]:
        """Each version by its own name."""
        return {one.name: one for one in self.versions}

    @cached_property
    def names(self) -> list[str]:
        """The public names, the default first."""
        return list(dict.fromkeys(map(public_name, self.by_name)))

    @cached_property
    def default(self) -> str:
        """The public name that a job without one means; "" where nothing is served."""
        return next(iter(self.names), "")

    def live(self, public: str, kind: Kind) -> str:
        """The live version; the first that is served where the chosen one is not there."""
        chosen = self.state.live.get(public, {}).get(kind, "")
        if chosen in self.by_name:
            return chosen
        return next((name for name in self.by_name if public_name(name) == public), public)

    def live_of(self, public: str) -> dict[str, str]:
        """The live version for each kind of work."""
        return {kind: self.live(public, kind) for kind in KINDS}

    def of(self, job: Job) -> str:
        """The version that is to do a job; a name that is not public stands for itself."""
        public = job.model or self.default
        if public not in self.names:
            return public
        kind, going = kind_of(job.task), self.state.going
        allowed = going and going.public == public and kind in going.kinds and going.candidate in self.by_name
        if going and allowed and place(going.id, person(job)) < going.weight:
            return going.candidate
        return self.live(public, kind or "embeddings")

    @cached_property
    def served(self) -> Sequence[Served]:
        """Each public name once, with the space of its live version that embeds, and all that its versions do."""
        found = []
        for name in self.names:
            embedding, answering = (self.by_name[self.live(name, kind)] for kind in ("embeddings", "answers"))
            tasks = tuple(dict.fromkeys((*embedding.tasks, *answering.tasks)))
            found.append(replace(embedding, name=name, tasks=tasks))
        return found
