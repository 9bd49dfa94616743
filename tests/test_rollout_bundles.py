"""A rollout over real bundles: what they answer is compared, within a space and across two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rollout_parts import InProcess, by, quick, rolling, run_model, until

import open_autoglm
from open_autoglm.serving.rollout import Rollout
from open_autoglm.serving.work import Ask, Classify, EmbedImage, EmbedText, Ground

pytestmark = pytest.mark.anyio
SAMPLES = Path(__file__).parent.parent / "samples" / "grocery"
NAMES = ("banana", "lemon", "cucumber")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def probe(tmp_path: Path) -> str:
    lines = [{"query": f"a photo of a {name}", "right": [str(SAMPLES / f"{name}.jpg")]} for name in NAMES]
    (tmp_path / "known.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return str(tmp_path / "known.jsonl")


async def ask(rollout: Rollout) -> None:
    picture = (SAMPLES / "banana.jpg").read_bytes()
    tasks = (
        EmbedText("a yellow fruit"),
        EmbedImage(picture),
        Ask(picture, "is there a banana?"),
        Classify(picture, NAMES),
        Ground(picture, "a banana"),
    )
    for number, task in enumerate(tasks):
        (await rollout.answer([by(f"person {number}", task)]))[0].get()


def all_told(going: dict[str, Any]) -> bool:
    """Whether all five comparisons are counted, also by the probe, which is told of each a moment later."""
    return bool(going["compared"] == 5 and going["figures"].get("probe", {}).get("n") == 5)


@pytest.mark.parametrize("other", ["open-autoglm-base", "open-autoglm-grocery"])
async def test_all_that_a_bundle_answers_is_compared(tmp_path: Path, probe: str, other: str) -> None:
    models = (open_autoglm.load("open-autoglm-base", precision="fp32"), open_autoglm.load(other, precision="fp32"))
    served = {f"photos@{number}": (model.space, run_model(model)) for number, model in enumerate(models, 1)}
    async with rolling(InProcess(served), tmp_path / "rollout.sqlite", probe_queries=2, patience=600) as rollout:
        await rollout.start(quick(probe=probe), "ada")
        await until(lambda status: rollout._attendant.shadow is not None, rollout)
        await ask(rollout)
        going = (await until(lambda status: all_told(status["rollout"]), rollout, 300))["rollout"]
    same = other == "open-autoglm-base"
    assert going["same_space"] is same and going["quality"] == "probe"
    assert going["figures"]["errors"]["mean"] == 0
    assert 0 < going["means"]["candidate score"] <= 1
    names = {"ask agreement", "classify agreement", "ground agreement", "overlap@10"}
    assert names <= going["means"].keys() and ("cosine" in going["means"]) is same
    if same:
        assert all(going["means"][name] == pytest.approx(1, abs=1e-3) for name in names)
        assert going["figures"]["agreement"]["mean"] == pytest.approx(0, abs=1e-3)
    else:
        assert going["kinds"] == ("answers",)
        assert going["figures"]["agreement"]["mean"] < -0.001


async def test_a_probe_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    models = InProcess({f"photos@{number}": ("space-1", lambda task: None) for number in (1, 2)})
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.jpg").write_text("no picture")
    wrong = {
        "folder": (tmp_path / "empty", "folder without pictures"),
        "{": (tmp_path / "a", "Line 1"),
        '{"query": "x"}': (tmp_path / "b", "Line 1"),
        '{"query": "x", "right": [7]}': (tmp_path / "c", "Line 1"),
        '{"query": "x", "right": ["gone.jpg"]}': (tmp_path / "d", "cannot be read"),
        '{"picture": "no.jpg"}': (tmp_path / "e", "cannot be used"),
        "": (tmp_path / "f", "0 pictures"),
    }
    async with rolling(models, tmp_path / "rollout.sqlite") as rollout:
        for text, (path, said) in wrong.items():
            if not path.is_dir():
                path.write_text(text)
            with pytest.raises(open_autoglm.errors.SettingError, match=said):
                await rollout.start(quick(probe=str(path)), "ada")
