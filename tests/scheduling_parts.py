"""What the tests of the scheduler and its workers share: a runner they steer, an observer, pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from open_autoglm.errors import TextError
from open_autoglm.runtime.decoding import ImageLimits
from open_autoglm.serving.caller import Caller
from open_autoglm.serving.scheduler.batching import Scheduler
from open_autoglm.serving.work import EmbedText, EmbedViews, Job, Outcome, Served, WorkerDied
from open_autoglm.serving.workers.running import Batch, Done, ModelFailed, Ran
from open_autoglm.serving.workers.settings import WorkerSettings

SAMPLES = Path(__file__).parent.parent / "samples" / "grocery"
BUNDLE = "open-autoglm-grocery"  # the quickest that embeds pictures and texts


class Written:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, str, str]] = []
        self.batches: list[int] = []
        self.waits = self.most_waiting = self.restarts = 0

    def stage(
        self, name: str, model: str, task: str, seconds: float, trace: str = "", ended: float | None = None
    ) -> None:
        assert seconds >= 0
        self.stages.append((name, model, task))

    def batch(
        self,
        model: str,
        task: str,
        size: int,
        seconds: float = 0.0,
        traces: Sequence[str] = (),
        ended: float | None = None,
    ) -> None:
        self.batches.append(size)

    def restarted(self) -> None:
        self.restarts += 1

    def waiting(self, more: int) -> None:
        self.waits += more
        self.most_waiting = max(self.most_waiting, self.waits)


class SteeredRunner:
    """Holds batches until it is told to finish the oldest; texts say by their first letter what becomes of them.

    ``b``: a mistake of the sender's; ``u``: fails for no known reason; ``c``: fails so beside others alone.
    """

    served = (
        Served("first", "space-1", 2, (EmbedText, EmbedViews)),
        Served("second", "space-2", 2, (EmbedText,)),
    )
    parallel = 1

    def __init__(self, at_once: int = 1, seconds: float = 0.0) -> None:
        self.at_once, self.seconds = at_once, seconds
        self.held: list[tuple[Batch, asyncio.Future[Done]]] = []
        self.taken: list[Batch] = []
        self.died_of: set[str] = set()
        self.closed = False
        self.tell: Callable[[], None] = lambda: None

    def free(self, alone: bool) -> bool:
        return len(self.held) < (1 if alone else self.at_once)

    def run(self, batch: Batch) -> asyncio.Future[Done]:
        assert self.free(batch.alone)
        assert len({type(task) for task in batch.tasks}) == 1
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self.held.append((batch, future))
        self.taken.append(batch)
        return future

    def when_free(self, tell: Callable[[], None]) -> None:
        self.tell = tell

    async def close(self) -> None:
        self.closed = True
        for _, future in self.held:
            future.cancel()

    def finish(self) -> None:
        batch, future = self.held.pop(0)
        future.set_result(Done([self._ran(batch, task.text) for task in batch.tasks], self.seconds))

    def die(self) -> None:
        batch, future = self.held.pop(0)
        self.died_of |= set(texts(batch))
        future.set_exception(WorkerDied("It died."))

    @staticmethod
    def _ran(batch: Batch, text: str) -> Ran:
        if text.startswith("b"):
            return Ran(error=TextError(f"{text} is bad."))
        if text.startswith("u") or (text.startswith("c") and len(batch.tasks) > 1):
            return Ran(error=ModelFailed())
        return Ran(f"{batch.model}: {text}", stages={"inference": 0.01})


def texts(batch: Batch) -> list[str]:
    """What was asked for in a batch."""
    return [task.text for task in batch.tasks]


async def settled() -> None:
    """Everything that can happen now has happened."""
    for _ in range(12):
        await asyncio.sleep(0)


def pictures(count: int) -> Sequence[bytes]:
    """Photos as they are sent."""
    return [path.read_bytes() for path in sorted(SAMPLES.glob("*.jpg"))[:count]]


def job(text: str, tenant: str = "a", model: str = "", seconds: float = 30.0) -> Job:
    return Job(EmbedText(text), model, Caller(tenant, "somebody", frozenset()), seconds=seconds)


def made(runner: SteeredRunner, observer: Written | None = None, **settings: Any) -> Scheduler:
    return Scheduler(runner, WorkerSettings(**settings), observer or Written(), ImageLimits(max_pixels=1_000_000))


async def asked(scheduler: Scheduler, *jobs: Job) -> asyncio.Task[list[Outcome]]:
    """A request that waits."""
    task = asyncio.ensure_future(scheduler.answer(jobs))
    await settled()
    return task


async def answered(runner: SteeredRunner, task: asyncio.Task[list[Outcome]]) -> list[Outcome]:
    """Finishes all that runs until a request has its answer."""
    while not task.done():
        if runner.held:
            runner.finish()
        await settled()
    return task.result()


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 20))
