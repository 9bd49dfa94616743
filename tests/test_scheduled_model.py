"""An index whose model is run by the scheduler: it finds and answers what it would with a model of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scheduling_parts import BUNDLE, SAMPLES, SteeredRunner, Written, pictures

import open_autoglm
from open_autoglm.cache import PrefixCache, remembering
from open_autoglm.cache.memory import MemoryTier
from open_autoglm.errors import ImageError, SettingError, TextError
from open_autoglm.runtime.model import Model
from open_autoglm.search import Index
from open_autoglm.serving.readiness import ReadinessCheck
from open_autoglm.serving.scheduler.batching import Scheduler
from open_autoglm.serving.scheduler.scheduled import Asker, ScheduledModel, scheduled_model
from open_autoglm.serving.scheduler.served import ServedModels
from open_autoglm.serving.work import EmbedText, Job, Overloaded, Task
from open_autoglm.serving.workers.settings import WorkerSettings

SETTINGS = WorkerSettings(workers=0)
BANANA = SAMPLES / "banana.jpg"


@contextmanager
def looping() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own, as a server's does."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def bare() -> Model:
    return open_autoglm.load(BUNDLE)


@pytest.fixture(scope="module")
def model() -> Iterator[ScheduledModel]:
    with looping() as loop:
        models = ServedModels({BUNDLE: BUNDLE}, SETTINGS)
        with pytest.raises(RuntimeError, match="do not answer now"):
            models.model(BUNDLE).embed_texts(["too early"])
        running = models.running()
        asyncio.run_coroutine_threadsafe(running.__aenter__(), loop).result()
        yield models.model(BUNDLE)
        asyncio.run_coroutine_threadsafe(running.__aexit__(None, None, None), loop).result()


def test_it_gives_what_the_model_gives(model: ScheduledModel, bare: Model) -> None:
    assert (model.name, model.space, model.dimension, model.fingerprint) == (
        bare.name,
        bare.space,
        bare.dimension,
        bare.fingerprint,
    )
    sources = [BANANA, str(SAMPLES / "lemon.jpg"), pictures(1)[0]]
    np.testing.assert_allclose(model.embed_images(sources), bare.embed_images(sources), atol=1e-5)
    pixels = np.asarray(Image.open(BANANA))
    np.testing.assert_allclose(model.embed_images([pixels]), bare.embed_images([pixels]), atol=1e-5)
    np.testing.assert_allclose(model.embed_views(BANANA), bare.embed_views(BANANA), atol=1e-5)
    np.testing.assert_allclose(model.embed_texts(["an apple"]), bare.embed_texts(["an apple"]), atol=1e-5)
    assert model.embed_images([]).shape == model.embed_texts([]).shape == (0, bare.dimension)
    assert len(model.embed_queries([])) == 0
    assert model.ask(BANANA, "is there a banana?").text == bare.ask(BANANA, "is there a banana?").text
    assert model.ask(pixels, "what is it?", ["apple", "banana"]).text == "banana"
    np.testing.assert_allclose(model.ground(BANANA, "a banana").boxes, bare.ground(BANANA, "a banana").boxes, atol=1)
    wanted = bare.classify(BANANA, ["apple", "banana"])
    assert model.classify(BANANA, ["apple", "banana"]) == pytest.approx(wanted, abs=1e-4)
    assert model.verify(BANANA, "there is a banana") == pytest.approx(
        bare.verify(BANANA, "there is a banana"), abs=1e-4
    )


def test_mistakes_are_told_as_the_model_tells_them(model: ScheduledModel) -> None:
    with pytest.raises(ImageError, match="no such file"):
        model.embed_views("nowhere.jpg")
    with pytest.raises(ImageError, match="cut short"):
        model.embed_images([pictures(1)[0][:3_000]])
    with pytest.raises(TextError, match="empty"):
        model.embed_queries(["an apple", ""])
    for wrong in (lambda: model.embed_texts("alone"), lambda: model.classify(BANANA, ["a", "a"])):
        with pytest.raises((SettingError, TextError)):
            wrong()
    with pytest.raises(SettingError, match="no decoder"):
        model.describe(BANANA)


def test_an_index_is_filled_and_searched_by_it(model: ScheduledModel, bare: Model, tmp_path: Path) -> None:
    with Index.create(tmp_path / "photos.index", model) as index:
        assert index.add([*sorted(SAMPLES.glob("*.jpg"))[:6], BANANA]).added == 7
        assert Path(index.search("a banana", k=1, cut=False)[0].path).name == "banana.jpg"
        wanted = [hit.path for hit in index.search(image=BANANA, k=3)]
        index.use(bare)
        assert [hit.path for hit in index.search(image=BANANA, k=3)] == wanted
    assert model._engines and not any(hasattr(engine, "_session") for engine in model._engines.values())


def test_a_model_that_remembers_works_over_it_and_asks_once(model: ScheduledModel, bare: Model) -> None:
    asker = CountingAsker(model._asker.models, model._asker.loop, BUNDLE)
    remembered = remembering(ScheduledModel(asker, model.bundle), PrefixCache([MemoryTier(2**28, 10_000)]))
    for question in ("is there a banana?", "where is the banana?"):
        answer = remembered.ask(BANANA, question)
        assert answer.text == bare.ask(BANANA, question).text
    before = len(asker.asked)
    assert remembered.ask(BANANA, "is there a banana?").text == "yes" and len(asker.asked) == before
    np.testing.assert_allclose(remembered.embed_images([BANANA]), bare.embed_images([BANANA]), atol=1e-5)


@dataclass(frozen=True)
class CountingAsker(Asker):
    """Writes down how much the scheduler was asked."""

    asked: list[int] = field(default_factory=list)

    def values(self, tasks: Sequence[Task]) -> list[Any]:
        self.asked.append(len(tasks))
        return super().values(tasks)


def test_a_full_queue_is_told_to_who_asks_from_a_thread() -> None:
    kept: list[asyncio.Future[Any]] = []
    with looping() as loop:

        async def full() -> Scheduler:
            scheduler = Scheduler(SteeredRunner(), WorkerSettings(queue_items=1), Written())
            for text in ("running", "waiting"):
                kept.append(asyncio.ensure_future(scheduler.answer([Job(EmbedText(text))])))
                await asyncio.sleep(0.01)
            return scheduler

        scheduler = asyncio.run_coroutine_threadsafe(full(), loop).result()
        with pytest.raises(Overloaded, match="try again in 1 s"):
            scheduled_model(BUNDLE, Asker(scheduler, lambda: loop, "first"), SETTINGS).embed_texts(["too much"])
        asyncio.run_coroutine_threadsafe(scheduler.close(), loop).result()


def test_ready_is_tried_seldom_and_stands_while_the_queue_is_full() -> None:
    async def work() -> None:
        runner = SteeredRunner()
        scheduler = Scheduler(runner, WorkerSettings(queue_items=1), Written())
        draining = [False]
        check = ReadinessCheck(scheduler, draining=lambda: draining[0], seconds=5, keep=0.0)

        async def finished() -> bool:
            finding = asyncio.ensure_future(check())
            while not finding.done():
                await asyncio.sleep(0)
                if runner.held:
                    runner.finish()
            return finding.result().ready

        assert await finished()
        others = []
        for text in ("running", "waiting"):
            others.append(asyncio.ensure_future(scheduler.answer([Job(EmbedText(text))])))
            await asyncio.sleep(0.01)
        assert (await check()).ready  # refused, and green as before
        draining[0] = True
        assert not (await check()).ready
        await scheduler.close()
        await asyncio.gather(*others)

    asyncio.run(work())
