"""Jobs that wait, in a lane for each kind of work: tenants take turns, and of each the oldest job is first.

It knows order and sums; it knows nothing of time, limits or what runs the jobs.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ..work import Job, Outcome, Served, Task
from .costs import Cost


class Lane(NamedTuple):
    """What may run together: one kind of work for one model; a job by itself has a lane with a number of its own."""

    model: str
    kind: type[Task]
    alone: int = 0

    @property
    def work(self) -> tuple[str, type[Task]]:
        """The kind of work, whoever does it together."""
        return self.model, self.kind


@dataclass(eq=False)
class Waiting:
    """A job on its way: what it costs, since when it waits and until when, and where its outcome is awaited."""

    job: Job
    served: Served
    cost: Cost
    since: float
    deadline: float
    outcome: asyncio.Future[Outcome]
    lane: Lane
    timer: asyncio.TimerHandle | None = None


class Lanes:
    """All that waits. Adding, removing and taking one cost the same however many wait."""

    def __init__(self) -> None:
        # By tenant, whose turn it is first; by lane; then the jobs, the oldest first.
        self._tenants: OrderedDict[str, dict[Lane, OrderedDict[int, Waiting]]] = OrderedDict()
        self._units: Counter[tuple[str, type[Task]]] = Counter()
        self._count = 0
        self.size = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Waiting]:
        """All jobs, in no order that matters, as they are now."""
        return iter(
            [waiting for lanes in self._tenants.values() for jobs in lanes.values() for waiting in jobs.values()]
        )

    def units(self) -> Mapping[tuple[str, type[Task]], int]:
        """The cost that waits of each kind of work."""
        return self._units

    def add(self, waiting: Waiting) -> None:
        """Puts a job behind those of its tenant and lane."""
        lanes = self._tenants.setdefault(waiting.job.caller.tenant, {})
        lanes.setdefault(waiting.lane, OrderedDict())[id(waiting)] = waiting
        self._count += 1
        self.size += waiting.cost.size
        self._units[waiting.lane.work] += waiting.cost.units

    def remove(self, waiting: Waiting) -> bool:
        """Takes a job out of its lane; whether it was there."""
        tenant = waiting.job.caller.tenant
        lanes = self._tenants.get(tenant, {})
        jobs = lanes.get(waiting.lane, OrderedDict())
        if jobs.pop(id(waiting), None) is None:
            return False
        if not jobs:
            del lanes[waiting.lane]
        if not lanes:
            del self._tenants[tenant]
        self._count -= 1
        self.size -= waiting.cost.size
        self._units[waiting.lane.work] -= waiting.cost.units
        return True

    def next(self) -> Waiting | None:
        """The oldest job of the tenant whose turn it is."""
        for lanes in self._tenants.values():
            return min((next(iter(jobs.values())) for jobs in lanes.values()), key=lambda waiting: waiting.since)
        return None

    def take(self, lane: Lane, fits: Callable[[list[Waiting], Waiting], bool]) -> list[Waiting]:
        """Takes jobs of a lane, one of each tenant in turn, as long as one more ``fits``; the first always does."""
        taken: list[Waiting] = []
        while tenant := next((name for name, lanes in self._tenants.items() if lane in lanes), None):
            first = next(iter(self._tenants[tenant][lane].values()))
            if taken and not fits(taken, first):
                break
            self.remove(first)
            taken.append(first)
            if tenant in self._tenants:
                self._tenants.move_to_end(tenant)
        return taken
