"""A batch that is being run, and what an observer is told of it once it is over.

It knows observers; it knows nothing of when a batch is run, or by whom.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..work import Observer
from ..workers.running import Done
from .lanes import Lane, Waiting


@dataclass(frozen=True)
class InHand:
    """Jobs of a ``lane`` that run together since ``started`` on the event loop's clock; ``alone``: beside no others."""

    jobs: Sequence[Waiting]
    lane: Lane
    alone: bool
    started: float
    _since: float = field(default_factory=time.time, init=False)

    def tell(self, observer: Observer, done: Done | None, ended: float) -> None:
        """How long each job waited and was in each stage; only the first where there is nothing ``done``.

        ``ended`` is when it was over, as time.time() gives it.
        """
        model, kind = self.lane.model, self.lane.kind.__name__
        for one in self.jobs:
            observer.stage("queue", model, kind, self.started - one.since, one.job.trace, self._since)
        if done is None:
            return
        for one, ran in zip(self.jobs, done.results, strict=True):
            until = ended
            for stage, seconds in reversed(list(ran.stages.items())):
                observer.stage(stage, model, kind, seconds, one.job.trace, until)
                until -= seconds
        observer.batch(model, kind, len(self.jobs), done.seconds, [one.job.trace for one in self.jobs], ended)
