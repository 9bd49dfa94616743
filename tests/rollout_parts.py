"""What the tests of rollouts share: models by version in this process, over real bundles or with chosen faults."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from direct_models import WORK
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from serving_parts import serve_app

from open_autoglm.errors import OpenAutoGLMError
from open_autoglm.runtime.answers import Answer
from open_autoglm.runtime.model import Model
from open_autoglm.runtime.similarity import Queries
from open_autoglm.serving import Settings, failures
from open_autoglm.serving.access import AccessSettings
from open_autoglm.serving.access.install import install as install_access
from open_autoglm.serving.caller import Caller
from open_autoglm.serving.intake.guard import HEADERS, Guard
from open_autoglm.serving.rollout import Plan, Rollout, RolloutSettings, Store
from open_autoglm.serving.rollout.routes import rollout_routes
from open_autoglm.serving.work import (
    Ask,
    Classify,
    Describe,
    EmbedImage,
    EmbedQuery,
    EmbedText,
    EmbedViews,
    Ground,
    Job,
    Match,
    Outcome,
    Served,
    Task,
    UnknownModel,
)

TASKS = (EmbedImage, EmbedViews, EmbedText, EmbedQuery, Ask, Ground, Classify, Match, Describe)
Answers = Callable[[Task], Any]


class InProcess:
    """``Models`` of functions by version, each with its space; what a function raises is its job's error."""

    def __init__(self, versions: dict[str, tuple[str, Answers]]) -> None:
        self.versions = versions
        self.asked: list[tuple[str, Task]] = []

    @property
    def served(self) -> list[Served]:
        return [Served(name, space, 4, TASKS) for name, (space, _) in self.versions.items()]

    async def answer(self, jobs: Sequence[Job]) -> list[Outcome]:
        for job in jobs:
            if job.model not in self.versions:
                raise UnknownModel(f"{job.model} is not served.")
        await asyncio.sleep(0)
        return [await self._one(job) for job in jobs]

    async def _one(self, job: Job) -> Outcome:
        space, answers = self.versions[job.model]
        self.asked.append((job.model, job.task))
        try:
            value = answers(job.task)
            return Outcome(job.model, space, await value if asyncio.iscoroutine(value) else value)
        except Exception as error:
            return Outcome(job.model, space, error=error)


class Loading(InProcess):
    """Bundles can be added; those whose path holds ``broken`` cannot."""

    async def load(self, name: str, bundle: str) -> None:
        if "broken" in bundle:
            raise OpenAutoGLMError("The graph is damaged; copy the bundle again.")
        self.versions[name] = ("space-1", vectors())

    async def unload(self, name: str) -> None:
        del self.versions[name]


class Stale:
    """Models that still say they serve what they no longer do."""

    def __init__(self, models: InProcess, by_name: Mapping[str, Served]) -> None:
        self.served = list(by_name.values())
        self.answer = models.answer


def run_model(model: Model) -> Answers:
    """A real bundle's answers."""
    return lambda task: WORK[type(task)](model, task)


def vectors(turn: float = 0.0, noise: float = 0.0) -> Answers:
    """A text's or a picture's vector follows from its bytes; ``turn`` and ``noise`` move it away from that."""

    def answers(task: Task) -> Any:
        if isinstance(task, Ask):
            return Answer(f"{task.question}!", 0.9)
        content = getattr(task, "content", None) or task.text.encode()  # type: ignore[union-attr]
        made = np.random.default_rng(list(content)).normal(size=4)
        made = made + turn * np.roll(made, 1) + noise * np.random.default_rng().normal(size=4)
        vector = (made / np.linalg.norm(made)).astype(np.float32)
        if isinstance(task, EmbedQuery):
            return Queries(vector[None])
        return vector[None] if isinstance(task, EmbedViews) else vector

    return answers


def failing(answers: Answers, share: float, error: Exception) -> Answers:
    """The same answers, of which a share fails."""

    def sometimes(task: Task) -> Any:
        if random.random() < share:
            raise error
        return answers(task)

    return sometimes


def slow(answers: Answers, seconds: float) -> Answers:
    """The same answers, later."""

    async def later(task: Task) -> Any:
        await asyncio.sleep(seconds)
        return answers(task)

    return later


def by(subject: str, task: Task | None = None) -> Job:
    """A question by somebody."""
    return Job(task or Ask(b"picture", "is it ripe?"), caller=Caller("shop", subject, frozenset({"*"})))


def quick(candidate: str = "photos@2", **changes: Any) -> Plan:
    """A plan whose every request is compared and whose steps need no time."""
    return Plan(**{"candidate": candidate, "shadow": 1.0, "requests": 20, "seconds": 0.0, **changes})


@asynccontextmanager
async def rolling(inner: Any, file: Path, **settings: Any) -> AsyncIterator[Rollout]:
    """A process's rollout over models; ``loader`` and ``pictures`` go to it, the rest are its settings."""
    parts = {name: settings.pop(name) for name in ("loader", "pictures") if name in settings}
    store = Store(file)
    try:
        made = RolloutSettings(**{"file": file, "poll": 0.02, "waiting": 1000, **settings})
        async with Rollout(inner, store, made, **parts) as rollout:
            yield rollout
    finally:
        store.close()


async def until(condition: Callable[[], Any], rollout: Rollout, seconds: float = 20.0) -> dict[str, Any]:
    """The status, once the condition holds of it."""
    ended = time.monotonic() + seconds
    while not condition(status := await rollout.status()):  # type: ignore[call-arg]
        assert time.monotonic() < ended, status
        await asyncio.sleep(0.02)
    return status


async def traffic(rollout: Rollout, done: Callable[[dict[str, Any]], bool], seconds: float = 40.0) -> dict[str, Any]:
    """Sends questions and texts of many people until that holds of the status; the status then."""
    ended = time.monotonic() + seconds
    for turn in count(0, 20):
        for number in range(turn, turn + 20):
            task = EmbedText(f"text {number}") if number % 2 else Ask(b"picture", f"question {number}")
            for outcome in await rollout.answer([by(f"person {number}", task)]):
                assert outcome.error is None
        await asyncio.sleep(0.03)
        if done(status := await rollout.status()):
            break
        assert time.monotonic() < ended, status
    return status


def kinds(status: dict[str, Any]) -> list[str]:
    """The decisions, oldest first."""
    return [decision["kind"] for decision in reversed(status["decisions"])]


@contextmanager
def serving(inner: Any, file: Path, **settings: Any) -> Iterator[str]:
    """The address of a real server of a rollout, its page and its answers to ``/ask?who=&about=``."""
    app = FastAPI()
    install_access(app, AccessSettings(off=True))
    failures.install(app, HEADERS)
    app.add_middleware(Guard, settings=Settings())
    app.mount("/page", StaticFiles(directory=Path(failures.__file__).parent / "page"))
    store = Store(file)
    made = RolloutSettings(**{"file": file, "poll": 0.05, "waiting": 1000, "busy": 64, **settings})
    rollout = Rollout(inner, store, made)
    app.include_router(rollout_routes(rollout))

    @app.get("/ask")
    async def ask(who: str, about: str) -> dict[str, str]:
        outcome = (await rollout.answer([by(who, EmbedText(about))]))[0]
        outcome.get()
        return {"model": outcome.model, "space": outcome.space}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with rollout:
            yield

    app.router.lifespan_context = lifespan
    try:
        with serve_app(app) as address:
            yield address
    finally:
        store.close()
