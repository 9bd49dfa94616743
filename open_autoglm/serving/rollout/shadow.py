"""Sends copies of answered requests to both versions in the background, and tells how the two did.

Both copies go the same way, in random order, so that two versions that are the same differ by chance alone. It knows
jobs and models; it knows nothing of what is decided on the figures.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..work import EmbedQuery, EmbedViews, Job, Models, Outcome, Overloaded, WorkerDied
from . import agreement
from .figures import AGREEMENT, CANDIDATE_ERRORS, ERRORS, LATENCY, LIVE_ERRORS, PROBE, Seen
from .gallery import Gallery, Known, Probe, gallery
from .kinds import kind_of
from .settings import RolloutSettings
from .state import Going


@dataclass(frozen=True)
class Copy:
    """A request that was answered by ``version``, and that ``other`` is to answer too; ``since`` when it waits."""

    job: Job
    outcome: Outcome
    version: str
    other: str
    since: float

    @property
    def size(self) -> int:
        """The bytes of its picture."""
        return len(getattr(self.job.task, "content", b""))


@dataclass(frozen=True)
class Leg:
    """One copy's answer, and the seconds it took."""

    outcome: Outcome
    seconds: float


class Shadow:
    """Compares the versions of one rollout in this process, one request at a time."""

    def __init__(
        self, models: Models, going: Going, probe: Probe | None, settings: RolloutSettings, busy: Callable[[], bool]
    ) -> None:
        self._models = models
        self._going = going
        self._probe = probe
        self._settings = settings
        self._busy = busy
        self._waiting: asyncio.Queue[Copy] = asyncio.Queue(settings.waiting)
        self._galleries: dict[str, tuple[Gallery, Gallery]] = {}
        self._tests: dict[str, list[float]] = defaultdict(list)
        self._others: dict[str, list[float]] = defaultdict(list)
        self._compared = self._dropped = self._deaths = self._bytes = 0

    def offer(self, job: Job, outcome: Outcome) -> None:
        """Takes a copy of a request that ``job.model`` answered, where there is room; never waits."""
        kind = kind_of(job.task)
        live = self._going.live[kind] if kind else ""
        if not kind or job.model not in (live, self._going.candidate):
            return
        other = live if job.model == self._going.candidate else self._going.candidate
        copy = Copy(job, outcome, job.model, other, time.monotonic())
        if self._bytes + copy.size > self._settings.waiting_mb * 2**20:
            self._dropped += 1
            return
        try:
            self._waiting.put_nowait(copy)
            self._bytes += copy.size
        except asyncio.QueueFull:
            self._dropped += 1

    def answered(self, version: str, failed: bool, died: bool) -> None:
        """Notes how a person was answered: not at all, through no fault of theirs, because a worker died."""
        if version == self._going.candidate:
            self._tests[CANDIDATE_ERRORS].append(-float(failed))
            self._mourn(died)
        elif version in self._going.live.values():
            self._tests[LIVE_ERRORS].append(-float(failed))

    def take(self) -> Seen:
        """What was seen since this was last asked."""
        seen = Seen(dict(self._tests), dict(self._others), self._compared, self._dropped, self._deaths)
        self._tests, self._others = defaultdict(list), defaultdict(list)
        self._compared = self._dropped = 0
        return seen

    async def run(self) -> None:
        """Looks at the probe with both versions, then compares until cancelled. Raises what a version raises at it.

        Each looks twice: where it sees the same pictures a little differently, it agrees less with itself, too.
        """
        if self._probe:
            for version in (self._going.live["embeddings"], self._going.candidate):
                self._galleries[version] = (await self._looks(version), await self._looks(version))
        while True:
            copy = await self._waiting.get()
            self._bytes -= copy.size
            await self._quiet()
            if time.monotonic() - copy.since > self._settings.patience:
                self._dropped += 1
                continue
            await self._compare(copy)

    async def _looks(self, version: str) -> Gallery:
        return gallery([await self._look(version, picture) for picture in self._probe.pictures] if self._probe else [])

    async def _look(self, version: str, picture: bytes) -> object:
        while True:
            await self._quiet()
            try:
                leg = await self._leg(Job(EmbedViews(picture)), version)
            except Overloaded as error:
                await asyncio.sleep(error.retry_after)
                continue
            if not isinstance(leg.outcome.error, WorkerDied) or self._deaths >= self._going.plan.rules.deaths:
                return leg.outcome.get()

    async def _quiet(self) -> None:
        while self._busy():
            await asyncio.sleep(0.005)

    async def _compare(self, copy: Copy) -> None:
        try:
            legs = await self._both(copy.job, copy.version, copy.other)
            known = await self._known(self._probe.known) if self._probe and self._probe.known else []
        except Overloaded:
            self._dropped += 1
            return
        self._compared += 1
        again, other = legs[copy.version], legs[copy.other]
        mine, live = (other, again) if copy.other == self._going.candidate else (again, other)
        self._tests[ERRORS].append(float(mine.outcome.error is not None) - float(live.outcome.error is not None))
        if mine.outcome.error is None and live.outcome.error is None:
            self._time(mine.seconds, live.seconds)
            await self._agree(copy, again.outcome, other.outcome)
        if known:
            self._tests[PROBE].append(sum(known) / len(known))

    def _time(self, mine: float, live: float) -> None:
        self._tests[LATENCY].append(1.0 if mine > self._going.plan.rules.slower * live else -1.0)
        self._others["candidate seconds"].append(mine)
        self._others["live seconds"].append(live)

    async def _agree(self, copy: Copy, again: Outcome, other: Outcome) -> None:
        if copy.outcome.error is not None:
            return
        # In a thread: hundreds of pictures are ranked, and people wait for this loop.
        found = await asyncio.to_thread(self._alike, copy, again, other)
        if "agreement" in found and "agreement with itself" in found:
            self._tests[AGREEMENT].append(found["agreement"] - found["agreement with itself"])
        for name, value in found.items():
            self._others[name].append(value)

    def _alike(self, copy: Copy, again: Outcome, other: Outcome) -> dict[str, float]:
        task, said, same = copy.job.task, copy.outcome.value, self._going.same_space
        pair = self._pair(copy.version, copy.other)
        figures = {
            "agreement": agreement.alike(task, said, other.value, pair, same),
            "agreement with itself": agreement.alike(
                task, said, again.value, self._pair(copy.version, copy.version), same_space=True
            ),
            **agreement.shown(task, said, other.value, pair, same),
        }
        return {name: value for name, value in figures.items() if value is not None}

    def _pair(self, one: str, other: str) -> agreement.Galleries | None:
        if self._probe is None:
            return None
        return self._galleries[one][0], self._galleries[other][1]

    async def _known(self, queries: Sequence[Known]) -> list[float]:
        """How much better the candidate ranks, for a few queries whose right pictures are known; drawn afresh."""
        differences = []
        for known in random.choices(queries, k=self._settings.probe_queries):  # noqa: S311
            difference = await self._ranked(known)
            if difference is not None:
                differences.append(difference)
        return differences

    async def _ranked(self, known: Known) -> float | None:
        live, candidate = self._going.live["embeddings"], self._going.candidate
        task = EmbedQuery(known.query)
        legs = await self._both(Job(task), live, candidate)
        if any(leg.outcome.error for leg in legs.values()):
            return None
        usual = await self._scored(live, agreement.vector(task, legs[live].outcome.value), known)
        mine = await self._scored(candidate, agreement.vector(task, legs[candidate].outcome.value), known)
        self._others["live score"].append(usual)
        self._others["candidate score"].append(mine)
        return mine - usual

    async def _scored(self, version: str, query: NDArray[np.float32], known: Known) -> float:
        return await asyncio.to_thread(self._galleries[version][0].score, query, known.right)

    async def _both(self, job: Job, one: str, other: str) -> dict[str, Leg]:
        """Raises Overloaded: where there is too much to do, what people wait for goes first."""
        order = random.sample((one, other), 2)
        return {version: await self._leg(job, version) for version in order}

    async def _leg(self, job: Job, version: str) -> Leg:
        began = time.perf_counter()
        try:
            copy = replace(job, model=version, seconds=self._settings.seconds, trace="")
            outcome = (await self._models.answer([copy]))[0]
        except Overloaded:
            raise
        except Exception as error:
            outcome = Outcome(version, "", error=error)
        if isinstance(outcome.error, Overloaded):
            raise outcome.error
        if version == self._going.candidate:
            self._mourn(isinstance(outcome.error, WorkerDied))
        return Leg(outcome, time.perf_counter() - began)

    def _mourn(self, died: bool) -> None:
        self._deaths = self._deaths + 1 if died else 0
