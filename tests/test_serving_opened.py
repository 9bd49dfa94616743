"""What is opened to be served, put together as ``autoglm serve`` does it: a memory, versions, and what is compared."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from api_parts import BANANA, BASE

import open_autoglm
from open_autoglm.bundle import shipped_folder
from open_autoglm.search import Index
from open_autoglm.serving import Settings, opened
from open_autoglm.serving.fleet import Fleet
from open_autoglm.serving.rollout import Plan, RolloutSettings
from open_autoglm.serving.work import Ask, Job, Outcome
from open_autoglm.serving.workers.settings import WorkerSettings


def test_what_is_compared_is_worked_out_whatever_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = shutil.copytree(shipped_folder() / BASE, tmp_path / "candidate")
    asked: list[str] = []
    answer = Fleet.answer

    async def noted(self: Fleet, jobs: Sequence[Job]) -> list[Outcome]:
        asked.extend(job.model for job in jobs if isinstance(job.task, Ask))
        return await answer(self, jobs)

    monkeypatch.setattr(Fleet, "answer", noted)
    settings = Settings(
        models={"photos@1": BASE}, workers=WorkerSettings(workers=0), rollout=RolloutSettings(poll=0.05, busy=64)
    )
    job = Job(Ask(BANANA.read_bytes(), "is there a banana?"))

    async def work() -> None:
        with opened(None, settings, "memory", print) as parts:
            fleet, rollout = parts.running
            async with fleet(), rollout():
                (first,) = await parts.models.answer([job])
                assert (first.model, first.get().text, asked) == ("photos@1", "yes", [])
                await parts.rollout.start(Plan(candidate=str(candidate), shadow=1.0), "ada")
                while set(asked) != {"photos@1", "photos@2"}:
                    (again,) = await parts.models.answer([job])
                    assert (again.model, again.get().text) == ("photos@1", "yes")
                    await asyncio.sleep(0.1)

    asyncio.run(asyncio.wait_for(work(), 60))


def test_an_index_of_another_model_brings_its_own(tmp_path: Path) -> None:
    other = shutil.copytree(shipped_folder() / BASE, tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"name": "other", "space": "other-space"}))
    model = open_autoglm.load(BASE)
    with Index.create(tmp_path / "photos.index", model) as index:
        index.add([BANANA])
    settings = Settings(models={"other": str(other)}, workers=WorkerSettings(workers=0))
    with opened(tmp_path / "photos.index", settings, None, print) as parts:
        spaces = {one.name: one.space for one in parts.models.served}
        assert spaces == {"other": "other-space", BASE: model.space}
        assert parts.index is not None and parts.index.model.space == model.space
