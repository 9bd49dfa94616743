"""A smaller bundle as its user asks for it: measured, no worse than allowed, or not written at all."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cli_parts import AUTOGLM, autoglm, document, mistake

import open_autoglm
from open_autoglm.bundle import Bundle
from open_autoglm.compression.wish import Row, Wish
from open_autoglm.errors import SettingError

SAMPLES = Path(__file__).parent.parent / "samples" / "grocery"
NLVR = "open-autoglm-nlvr"
QUESTIONS = ["There is a yellow block.", "There are two towers.", "how many black items are there"]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    file = tmp_path / "questions.txt"
    file.write_text("\n".join(QUESTIONS), encoding="utf-8")
    return file


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for photo in sorted(SAMPLES.glob("*.jpg"))[:8]:
        shutil.copy(photo, folder)
    return folder


def test_the_bundle_written_keeps_what_was_asked_and_says_so(tmp_path: Path, pictures: Path, questions: Path) -> None:
    target = tmp_path / "small"
    words = ["--pictures", pictures, "--sentences", questions, "--to", target, "--max-loss", 0.1, "--target", "int8"]
    found = document("compress", NLVR, *words, "--prune", 0.3)
    full, chosen = found["rows"]
    assert any("cannot be pruned" in note for note in found["notes"]), "what was made before is not lost"
    assert not full["chosen"] and chosen["chosen"] and chosen["precision"] == "int8" and chosen["loss"] <= 0.1
    assert chosen["megabytes"] < full["megabytes"]
    bundle = Bundle.open(target)
    assert not bundle.verify()
    for there in bundle.manifest.graphs.values():
        (graph,) = there.values()
        assert graph.parity["loss"] <= 0.1 and graph.parity["speedup"] > 0 and graph.parity["bytes"] > 0
    photo = next(SAMPLES.glob("*.jpg"))
    small, full_model = open_autoglm.load(target), open_autoglm.load(NLVR)
    assert small.verify(photo, QUESTIONS[0]) == pytest.approx(full_model.verify(photo, QUESTIONS[0]), abs=0.2)
    assert "no float graphs" in mistake("compress", target, *words[:4], "--to", tmp_path / "again")


def test_what_cannot_be_had_says_the_best_found_and_writes_nothing(
    tmp_path: Path, pictures: Path, questions: Path
) -> None:
    words = ["--pictures", pictures, "--sentences", questions, "--to", tmp_path / "small", "--target", "size=1MB"]
    result = autoglm("compress", NLVR, *words, "--max-loss", 0.1)
    assert result.exit_code == 2
    last = result.stderr.strip().splitlines()[-1]
    assert "at most 1 MB" in last and "the best found is int8" in last and "Nothing was written" in last
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures", "questions.txt"]


def test_what_was_begun_is_removed_when_it_is_told_to_end(tmp_path: Path, pictures: Path) -> None:
    command = [
        *AUTOGLM,
        "compress",
        "open-autoglm-grocery",
        "--pictures",
        pictures,
        "--to",
        tmp_path / "made" / "small",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "Quantising" in process.stderr.readline() + process.stderr.readline()
    process.terminate()
    assert process.stderr.read().splitlines()[-1] == "Stopped."
    assert process.wait() == 130
    assert list((tmp_path / "made").iterdir()) == []


def test_wishes() -> None:
    rows = [Row(0.0, "int8", 30, 5, 3, {"image": 0.015}), Row(0.5, "fp32", 20, 9, 2, {"image": 0.03, "text": 0.0})]
    assert [Wish.read(0.02, None).granted(row) for row in rows] == [True, False]
    assert [Wish.read(0.05, "size=20mb").granted(row) for row in rows] == [False, True]
    assert [Wish.read(0.05, "latency=5ms").granted(row) for row in rows] == [True, False]
    assert [Wish.read(0.05, "int8").granted(row) for row in rows] == [True, False]
    assert not Wish.read(0.05, "int8").granted(replace(rows[0], in_float=("text",)))
    assert [row.name for row in rows] == ["int8", "pruned by 50%, fp32"]
    for target in ("size=30", "latency=0ms", "fast"):
        with pytest.raises(SettingError, match="write int8, size=30MB or latency=5ms"):
            Wish.read(0.05, target)
    with pytest.raises(SettingError, match="between 0 and 1"):
        Wish.read(1.5, None)


def test_what_it_cannot_use(tmp_path: Path) -> None:
    to = ["--to", tmp_path / "small"]
    assert "0 usable pictures are too few" in mistake("compress", NLVR, "--pictures", tmp_path, *to)
    assert "--prune" not in mistake("compress", NLVR, "--pictures", tmp_path / "none", *to)
    assert "between 0 and 1" in mistake("compress", NLVR, "--pictures", SAMPLES, *to, "--prune", 1.2)
    (tmp_path / "empty.txt").write_text("\n")
    assert "no sentence" in mistake("compress", NLVR, "--pictures", SAMPLES, *to, "--sentences", tmp_path / "empty.txt")
