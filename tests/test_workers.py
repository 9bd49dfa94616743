"""The model's processes: the same answers as without them, and what happens when one dies, hangs or grows."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Coroutine
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scheduling_parts import BUNDLE, Written, pictures

import open_autoglm
from open_autoglm.bundle import shipped_folder
from open_autoglm.errors import BundleError, ImageError, MissingExtra, OpenAutoGLMError, SettingError, TextError
from open_autoglm.runtime.answers import Answer, Grounding
from open_autoglm.serving.scheduler.batching import Scheduler
from open_autoglm.serving.scheduler.scheduling import open_scheduler
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
    RunGraph,
    Task,
    WorkerDied,
)
from open_autoglm.serving.workers import wire
from open_autoglm.serving.workers.running import Batch, Done, ModelFailed, Ran
from open_autoglm.serving.workers.settings import WorkerSettings


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 300))


def pids(scheduler: Scheduler) -> list[int]:
    return scheduler._runner.pids


async def until(true: Any) -> None:
    while not true():
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("workers", [0, 1])
def test_they_give_what_the_model_gives_and_each_bad_item_its_own_error(workers: int) -> None:
    photos, observer = pictures(6), Written()
    model = open_autoglm.load(BUNDLE, precision="fp32")  # in int8 a text's numbers depend on those beside it
    settings = WorkerSettings(workers=workers, precision="fp32")
    tasks: list[Task] = [
        *(EmbedImage(photo) for photo in photos),
        EmbedImage(photos[0][:3_000]),
        EmbedViews(photos[1]),
        EmbedText("a red apple"),
        EmbedText(""),
        EmbedText("bananas"),
        EmbedQuery("two lemons"),
        Ask(photos[0], "is there an apple?"),
        Ask(photos[0], "what is it?", ("apple", "banana")),
        Ground(photos[0], "an apple"),
        Classify(photos[0], ("apple", "banana")),
        Classify(photos[0], ("apple", "apple")),
        Describe(photos[0]),
        Match(photos[0], ("an apple",)),
    ]

    async def work() -> None:
        async with open_scheduler({"shop": BUNDLE}, settings, observer) as scheduler:
            assert [(one.name, one.space) for one in scheduler.served] == [("shop", model.space)]
            outcomes = await scheduler.answer([Job(task) for task in tasks])
        values = [outcome.value for outcome in outcomes]
        np.testing.assert_allclose(np.stack(values[:6]), model.embed_images(photos), atol=1e-5)
        np.testing.assert_allclose(values[7], model.embed_views(photos[1]), atol=1e-5)
        wanted = model.embed_texts(["a red apple", "bananas"])
        np.testing.assert_allclose(np.stack([values[8], values[10]]), wanted, atol=1e-2)
        np.testing.assert_allclose(values[11].vectors, model.embed_queries(["two lemons"]).vectors, atol=1e-2)
        assert values[12].text == model.ask(photos[0], "is there an apple?").text
        assert values[13].text == model.ask(photos[0], "what is it?", ["apple", "banana"]).text
        np.testing.assert_allclose(values[14].boxes, model.ground(photos[0], "an apple").boxes, atol=1)
        assert values[15] == pytest.approx(model.classify(photos[0], ["apple", "banana"]), abs=1e-3)
        said = {6: "cut short", 9: "empty", 16: "given twice", 17: "no decoder", 18: "cannot look twice"}
        for place, words in said.items():
            error = outcomes[place].error
            assert isinstance(error, OpenAutoGLMError) and words in str(error)
        assert isinstance(outcomes[6].error, ImageError) and isinstance(outcomes[9].error, TextError)
        assert [place for place, outcome in enumerate(outcomes) if outcome.error is not None] == list(said)

    run(work())
    stages = {stage for stage, _, task in observer.stages if task == "EmbedImage"}
    assert stages == {"queue", "decode", "inference"} | ({"encode"} if workers else set())
    assert observer.batches[0] == 7


def test_a_killed_worker_fails_what_it_had_while_the_others_go_on_and_is_replaced() -> None:
    async def work() -> None:
        settings, photos = WorkerSettings(workers=2, batch_items=1), pictures(12)
        async with open_scheduler({BUNDLE: BUNDLE}, settings, Written()) as scheduler:
            before = pids(scheduler)
            requests = [asyncio.ensure_future(scheduler.answer([Job(EmbedImage(photo))])) for photo in photos]
            await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
            os.kill(before[0], signal.SIGKILL)
            outcomes = [(await request)[0] for request in requests]
            failed = [outcome.error for outcome in outcomes if outcome.error is not None]
            assert 1 <= len(failed) <= 2  # the one it worked on and the one it had ready
            assert all(isinstance(error, WorkerDied) for error in failed)
            await until(lambda: len({*pids(scheduler)} - {before[0]}) == 2)
            assert (await scheduler.answer([Job(EmbedImage(photos[0]))]))[0].error is None

    run(work())


def test_a_worker_that_hangs_is_killed_and_its_work_fails() -> None:
    async def work() -> None:
        settings, photo = WorkerSettings(run_seconds=0.5), pictures(1)[0]
        async with open_scheduler({BUNDLE: BUNDLE}, settings, Written()) as scheduler:
            os.kill(pids(scheduler)[0], signal.SIGSTOP)
            (outcome,) = await scheduler.answer([Job(EmbedText("an apple"))])
            assert isinstance(outcome.error, WorkerDied) and "longer than 0.5 s" in str(outcome.error)
            (outcome,) = await scheduler.answer([Job(EmbedText("a banana"))])
            assert outcome.error is None
            assert (await scheduler.answer([Job(EmbedImage(photo))]))[0].model == BUNDLE

    run(work())


def test_a_worker_that_holds_too_much_is_replaced_and_nothing_fails() -> None:
    async def work() -> None:
        async with open_scheduler({BUNDLE: BUNDLE}, WorkerSettings(memory_mb=1), Written()) as scheduler:
            first = pids(scheduler)
            while pids(scheduler) == first:
                (outcome,) = await scheduler.answer([Job(EmbedText("an apple"))])
                assert outcome.error is None
                await asyncio.sleep(0.02)
            assert (await scheduler.answer([Job(EmbedText("an apple"))]))[0].error is None
            await until(lambda: not alive(first[0]))

    run(work())


def test_a_picture_that_workers_die_of_is_refused_after_the_second() -> None:
    poison, photo = pictures(2)

    async def work() -> None:
        async with open_scheduler({BUNDLE: BUNDLE}, WorkerSettings()) as scheduler:
            for _ in range(2):
                await until(lambda: scheduler._runner.free(True))
                worker = pids(scheduler)[0]
                os.kill(worker, signal.SIGSTOP)  # so that it surely has the picture when it dies
                request = asyncio.ensure_future(scheduler.answer([Job(EmbedImage(poison))]))
                await until(lambda: not scheduler._runner.free(True))  # it is on its way to the worker
                os.kill(worker, signal.SIGKILL)
                assert isinstance((await request)[0].error, WorkerDied)
            refused, good = await scheduler.answer([Job(EmbedImage(poison)), Job(EmbedImage(photo))])
            assert isinstance(refused.error, ImageError) and "died twice of this picture" in str(refused.error)
            assert good.error is None

    run(work())


def test_a_bundle_that_cannot_be_loaded_is_said_at_the_start(tmp_path: Path) -> None:
    async def open_it(path: Path, workers: int) -> None:
        async with open_scheduler({"shop": path}, WorkerSettings(workers=workers), Written()):
            raise AssertionError("it opened")

    with pytest.raises(BundleError):
        run(open_it(tmp_path / "nowhere", 1))
    broken = tmp_path / "broken"
    shutil.copytree(shipped_folder() / BUNDLE, broken)
    graph = broken / "onnx" / "image.fp32.onnx"
    graph.write_bytes(bytes(graph.stat().st_size))  # which only the worker finds out
    with pytest.raises(BundleError):
        run(open_it(broken, 1))


def test_what_is_sent_between_processes_comes_out_as_it_was() -> None:
    boxes = np.arange(8, dtype=np.float32).reshape(2, 4)
    batch = Batch("m", (Ask(b"\x00\xff", "é?", ("a", "b")), Ask(b"", "x")), alone=True)
    assert wire.as_batch(sent(wire.told_batch(batch))) == batch
    graph = RunGraph("image", (), {"pixels": np.zeros((0, 3), np.uint8), "mask": np.ones((2, 2), np.bool_)})
    (told,) = wire.as_batch(sent(wire.told_batch(Batch("m", (graph,))))).tasks
    for name, array in graph.inputs.items():
        assert (told.inputs[name].dtype, told.inputs[name].tolist()) == (array.dtype, array.tolist())
    answer = Answer("yes", 0.5, Grounding(boxes, boxes[0], boxes), "why")
    results = [Ran(answer, None, {"decode": 0.5}), Ran(error=ImageError("bad")), Ran({"apple": 0.5}), Ran(boxes)]
    failures = [Ran(error=KeyError("secret")), Ran(error=MissingExtra("A thing", "serve"))]
    done, memory = wire.as_done(sent(wire.told_done(Done([*results, *failures], 1.5), 7)))
    assert (done.seconds, memory) == (1.5, 7)
    ran, bad, labels, array, unknown, missing = done.results
    np.testing.assert_array_equal(ran.value.regions.boxes, boxes)
    assert (ran.value.text, ran.value.reason, ran.stages["decode"]) == ("yes", "why", 0.5)
    assert isinstance(bad.error, ImageError) and str(bad.error) == "bad" and not bad.unforeseen
    assert labels.value == {"apple": 0.5} and (array.value == boxes).all() and array.value.flags.aligned
    assert isinstance(unknown.error, ModelFailed) and "secret" not in str(unknown.error)
    assert isinstance(missing.error, OpenAutoGLMError) and "pip install" in str(missing.error)
    with pytest.raises(TypeError, match="object cannot be sent"):
        wire.packed(object())
    with pytest.raises(TypeError, match="objects"):
        wire.packed(np.array([object()]))


def sent(value: Any) -> Any:
    """As it arrives when a stream delivers it in small pieces."""
    frames, whole, arrived = wire.Frames(), b"".join(wire.packed(value)) * 2, []
    for start in range(0, len(whole), 7):
        arrived += frames.feed(whole[start : start + 7])
    assert len(arrived) == 2
    return arrived[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [("workers", -1), ("batch_items", 0), ("queue_items", 0), ("queue_seconds", 0.0), ("run_seconds", float("nan"))],
)
def test_settings_out_of_range_are_refused_in_a_sentence(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=f"^{name} is {value}: it must be "):
        WorkerSettings(**{name: value})


def test_the_page_names_every_setting_with_its_default() -> None:
    page = (Path(__file__).parent.parent / "docs" / "workers-and-limits.md").read_text(encoding="utf-8")
    told: dict[str, str] = {}
    for names, default in re.findall(
        r"^\| (`[a-z_`, ]+`) \| (`[^|]+`|) ?\|", page.partition("## Settings")[2], re.MULTILINE
    ):
        told |= dict.fromkeys(re.findall(r"`(\w+)`", names), default.strip("`"))
    assert {name: float(default) if default else None for name, default in told.items()} == {
        field.name: field.default for field in fields(WorkerSettings)
    }


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
