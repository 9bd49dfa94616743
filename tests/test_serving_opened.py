"""What is opened to be served, put together as ``autoglm serve`` does it: a memory, versions, and what is compared."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from api_parts import BANANA, BASE
from serving_parts import serve_app
from telemetry_parts import collector

import open_autoglm
from open_autoglm.bundle import shipped_folder
from open_autoglm.search import Index
from open_autoglm.serving import Settings, TelemetrySettings, create_app, opened
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


def test_what_threads_ask_is_in_the_requests_trace_and_a_version_answers_by_its_name(tmp_path: Path) -> None:
    with Index.create(tmp_path / "photos.index", open_autoglm.load(BASE)) as index:
        index.add([BANANA])
    picture = f"data:image/jpeg;base64,{base64.b64encode(BANANA.read_bytes()).decode()}"
    with collector() as collected:
        settings = Settings(
            models={"photos@1": BASE, "photos@2": BASE},
            workers=WorkerSettings(workers=0),
            telemetry=TelemetrySettings(traces=collected.address),
        )
        with (
            opened(tmp_path / "photos.index", settings, "memory", print) as parts,
            serve_app(create_app(parts, settings), settings) as address,
            httpx.Client(base_url=address, timeout=60) as client,
        ):
            named = client.post("/v1/embeddings", json={"input": "a banana", "model": "photos@2"})
            assert (named.status_code, named.headers["x-model"]) == (200, "photos@2")
            searched = client.post("/v1/search", json={"query": "a banana"})
            asked = client.post("/v1/ask", json={"image": picture, "question": "is there a banana?"})
            assert searched.status_code == asked.status_code == 200, (searched.text, asked.text)
        stages = {span.trace_id.hex() for span in collected.named("inference")}
        assert {one.headers["x-request-id"] for one in (named, searched, asked)} <= stages


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
