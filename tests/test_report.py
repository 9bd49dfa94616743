"""The report of a run, read as a page and seen in a browser."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from data_parts import draw_folder, write_csv
from hypothesis import given
from hypothesis import strategies as st

from open_autoglm.data import DataSettings, open_source
from open_autoglm.errors import DataError
from open_autoglm.training.preflight_finding import Finding
from open_autoglm.training.report import write_facts, write_report
from open_autoglm.training.report_curves import SIZE, Series, chart, number_text, restless, scale, short, smooth, thin
from open_autoglm.training.report_facts import read_log

PIXEL = "data:image/jpeg;base64,/9j/4AAQSkZJRg=="
NUMBER = st.floats(-1e9, 1e9, allow_nan=False)


def shown(text: str, right: bool = True, thumbnail: str = PIXEL) -> dict[str, Any]:
    return {"text": text, "thumbnail": thumbnail, "score": 0.25, "right": right}


def evaluated() -> dict[str, Any]:
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10}
    way = {"queries": 4, "items": 4, "recall": {"1": estimate}, "mean_average_precision": estimate, "median_rank": 1.5}
    example = {"query": shown("<script>alert(1)</script>"), "answers": [shown("a"), shown("b", False)], "found_at": 1}
    return {
        "bundle": "mine",
        "pictures": 4,
        "texts": 4,
        "fingerprint": "abc",
        "settings": {"similarity": "cosine", "views": "whole"},
        "image_to_text": way,
        "text_to_image": way,
        "zero_shot": None,
        "problems": [{"where": "line 3", "reason": "gone", "skipped": True}],
        "text_examples": [example],
        "picture_examples": [example],
        "mistakes": [
            {
                "picture": shown("x", True, "https://example.com/x.jpg"),
                "truth": "a dog",
                "taken": "a cat",
                "margin": 0.1,
            }
        ],
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "my-run"
    folder.mkdir()
    lines: list[dict[str, Any]] = [
        {"step": step, "epoch": step / 50, "loss": 5 / step, "lr": 1e-4, "collapse": 0.1, "seconds": step * 2}
        for step in range(1, 101)
    ]
    lines += [{"step": step, "eval": {"text_to_image_r1": step / 200, "oddity": 3.0}} for step in (50, 100)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "recipe.yaml").write_text("name: my-run\nnote: <b>bold</b>\n")
    rows = [["image", "caption"], *([name, f"caption {name}"] for name in draw_folder(tmp_path, 4))]
    records = open_source(DataSettings(write_csv(tmp_path / "data.csv", rows)))
    write_facts(
        folder, {"train": records}, [Finding("small batch", "warning", "It is small.", "Raise it.")], command="x"
    )
    (folder / "evaluation.json").write_text(json.dumps(evaluated()))
    return folder


def test_the_page_holds_everything_and_asks_nobody_for_anything(run: Path) -> None:
    page = write_report(run).read_text(encoding="utf-8")
    for part in ("my-run", "Loss", "Collapse", "Validation: oddity", "text to picture, R@1", "0.400 to 0.600", "a cat"):
        assert part in page
    fingerprint = json.loads((run / "facts.json").read_text())["splits"]["train"]["fingerprint"]
    assert fingerprint in page
    assert "It is small." in page
    assert "line 3: gone" in page
    assert "3 min" in page  # 200 seconds
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", page)
    assert "url(" not in page


def test_a_log_alone_makes_a_report(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    assert "Loss" in write_report(tmp_path).read_text()
    (tmp_path / "log.jsonl").write_text("")
    assert "The log has no step yet." in write_report(tmp_path).read_text()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="training run"):
        write_report(tmp_path)
    (tmp_path / "log.jsonl").write_text("")
    (tmp_path / "facts.json").write_text("{")
    with pytest.raises(DataError, match=r"facts\.json"):
        write_report(tmp_path)


def test_what_went_wrong_in_the_run_is_said(run: Path) -> None:
    with (run / "log.jsonl").open("a") as log:
        log.write('{"step": 101, "loss": NaN}\n{"step": 102, "lo')
    page = write_report(run).read_text()
    assert "not a number at 1 step, first at step 101" in page
    assert "1 line of the log cannot be read" in page


def test_a_resumed_run_s_later_lines_count(tmp_path: Path) -> None:
    lines = [{"step": step, "loss": 1.0} for step in (1, 2, 3)] + [{"step": step, "loss": 9.0} for step in (2, 3, 4)]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert [entry["loss"] for entry in read_log(tmp_path / "log.jsonl").steps] == [1.0, 9.0, 9.0, 9.0]


def test_a_report_that_cannot_be_written_leaves_the_old_one(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write_report(run).read_bytes()

    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match="No space left"):
        write_report(run)
    assert (run / "report.html").read_bytes() == before


@given(NUMBER, NUMBER)
def test_a_scale_holds_its_values_in_a_few_round_steps(one: float, other: float) -> None:
    low, high, ticks = scale(min(one, other), max(one, other))
    slack = 1e-6 * max(1.0, abs(one), abs(other))
    assert low - slack <= min(one, other) <= max(one, other) <= high + slack
    assert high > low
    assert 2 <= len(ticks) <= 7


@given(st.lists(NUMBER, min_size=1, max_size=500), st.integers(4, 60))
def test_thinning_keeps_ends_and_extremes(values: list[float], most: int) -> None:
    points = [(float(step), value) for step, value in enumerate(values)]
    kept = thin(points, most)
    assert kept == sorted(kept)
    assert {points[0], points[-1]} <= set(kept)
    assert {min(values), max(values)} <= {value for _, value in kept}
    assert len(kept) <= max(most, 1) + 4


def test_smoothing_is_the_mean_around_each_point() -> None:
    points = [(float(step), float(step % 2)) for step in range(100)]
    found = smooth(points, share=0.04)  # two on either side
    for place in range(100):
        around = [value for _, value in points[max(0, place - 2) : place + 3]]
        assert found[place][1] == pytest.approx(sum(around) / len(around))
    assert restless(points)
    assert not restless([(step, step) for step, _ in points])


def test_a_line_breaks_where_there_is_no_number() -> None:
    drawn = chart("x", [Series("x", ((1, 1.0), (2, 2.0), (3, math.nan), (4, 1.0), (5, 2.0)))])
    assert drawn is not None
    assert [line.path.count("M") for line in drawn.lines] == [2]
    assert chart("x", [Series("x", ((1, math.nan), (2, 1e308)))]) is None
    assert chart("x", [Series("x", ((1, 3.0),))]) is not None


def test_every_label_of_the_scale_has_its_rule() -> None:
    drawn = chart("x", [Series("x", ((1, 0.2), (2, 3.9)))])
    assert drawn is not None
    assert len(drawn.up) > 2
    assert [rule.path for rule in drawn.rules] == [f"M0.0 {SIZE / 100 * tick.at:.1f}H{SIZE}" for tick in drawn.up]


def test_numbers_are_written_as_one_reads_them() -> None:
    assert [number_text(value) for value in (0, 0.0003, 1e-5, 0.07123456, 12345.6, -0.5)] == [
        *("0", "3×10⁻⁴", "1×10⁻⁵", "0.07123", "12,346", "-0.5")
    ]
    assert [short(value) for value in (50, 4000, 12_500, 2_000_000)] == ["50", "4,000", "12.5k", "2M"]


@pytest.fixture
def browser() -> Iterator[Any]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield (started := playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]))
        started.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_a_desk_and_a_phone(run: Path, browser: Any, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(write_report(run).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert complaints == []
    assert page.locator("svg path.line").first.bounding_box()["width"] > 100
    assert page.locator("text=✗").count() == 2
