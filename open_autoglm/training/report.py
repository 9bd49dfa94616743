"""One page of HTML for a training run: curves, figures, examples as pictures, the data and the recipe.

It reads what a run's folder holds and knows nothing about the model or the trainer. The page is one file: it asks no
host for anything and holds no script.

A run's folder holds ``log.jsonl`` (lines ``{step, epoch, loss, ..., lr, temperature, pairs_per_second, seconds}`` and
``{step, eval: {...}}``), and where there are: ``recipe.yaml``, ``facts.json`` (``write_facts``), and
``evaluation.json`` (``write_evaluation``).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import jinja2

from open_autoglm.evaluation.result import Evaluation
from open_autoglm.evaluation.summary import headline, notes, tables

from .report_curves import SIZE, Chart, Series, chart, number_text
from .report_facts import EVALUATION, FACTS, LOG, RECIPE, Log, read_document, read_log, replace_text, write_facts

__all__ = ["REPORT", "write_evaluation", "write_facts", "write_report"]

REPORT = "report.html"
_TEMPLATES = Path(__file__).parent / "report_page"
_NAMES = {
    "lr": "Learning rate",
    "pairs_per_second": "Pairs a second",
    "temperature": "Temperature",
    "zero_shot_top_1": "zero-shot, top 1",
    "class_map": "class name to picture, mAP",
}
_NO_CURVE = {"step", "epoch", "seconds", "loss"}
_SHOWN = ("text_to_image_r1", "image_to_text_r1", "zero_shot_top_1", "class_map")  # as many as there are colours


def write_evaluation(run: Path, evaluation: Evaluation) -> Path:
    """Writes ``evaluation.json`` into a run's folder, with the examples as pictures."""
    replace_text(run / EVALUATION, json.dumps(evaluation.as_dict(pictures=True), ensure_ascii=False))
    return run / EVALUATION


def write_report(run: Path) -> Path:
    """Writes ``report.html`` into a run's folder from what it holds. DataError where it is no run's folder."""
    log = read_log(run / LOG)
    facts, evaluation = read_document(run / FACTS), read_document(run / EVALUATION)
    recipe = (run / RECIPE).read_text(encoding="utf-8", errors="replace") if (run / RECIPE).exists() else ""
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"score": lambda value: f"{value:.3f}", "picture": _picture}
    page = environment.get_template("page.html").render(
        name=run.resolve().name,
        style=(_TEMPLATES / "style.css").read_text(encoding="utf-8"),
        lead=list(_lead(log, evaluation)),
        facts=facts,
        took=_took(log),
        size=SIZE,
        charts=_charts(log),
        small=_small_charts(log),
        warnings=_warnings(log),
        headline=headline(evaluation) if evaluation else "",
        tables=tables(evaluation, 8) if evaluation else [],
        notes=notes(evaluation) if evaluation else [],
        evaluation=evaluation,
        recipe=recipe.rstrip(),
    )
    replace_text(run / REPORT, page)
    return run / REPORT


def _lead(log: Log, evaluation: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The figures that matter most: value, name, and the interval or step."""
    if evaluation:
        for table in tables(evaluation)[:1]:
            wanted = ("text to picture, R@1", "picture to text, R@1", "zero-shot, top 1", "class name to picture, mAP")
            for name, value, interval, _ in table.rows:
                if name in wanted:
                    yield value, name, interval
    elif log.evaluations:
        last = log.evaluations[-1]
        for key in _SHOWN:
            if _is_number(last.get(key)):
                yield f"{last[key]:.3f}", _named(key), f"at step {last['step']:,.0f}"
    if log.steps and _is_number(log.steps[-1].get("loss")):
        yield number_text(log.steps[-1]["loss"]), "loss", f"at step {log.steps[-1]['step']:,.0f}"


def _charts(log: Log) -> list[Chart]:
    """The loss, and what is measured on validation data."""
    losses = [_series("training", log.steps, "loss"), _series("validation", log.evaluations, "loss", dots=True)]
    found = [chart("Loss", losses, _lowest(log.evaluations, "loss"))]
    shares = [_series(_named(key), log.evaluations, key, dots=True) for key in _SHOWN]
    found.append(chart("On validation data", shares, from_zero=True))
    return [one for one in found if one]


def _small_charts(log: Log) -> list[Chart]:
    """Everything else that was logged, a chart each."""
    keys = dict.fromkeys(key for entry in log.steps for key in entry if key not in _NO_CURVE)
    found = [
        chart(_title(key), [_series(_title(key), log.steps, key)], from_zero=key == "pairs_per_second") for key in keys
    ]
    more = dict.fromkeys(key for entry in log.evaluations for key in entry if key not in {*_NO_CURVE, *_SHOWN})
    found += [
        chart(f"Validation: {_named(key)}", [_series(_named(key), log.evaluations, key, dots=True)]) for key in more
    ]
    return [one for one in found if one]


def _series(name: str, entries: Sequence[dict[str, Any]], key: str, dots: bool = False) -> Series:
    return Series(
        name, tuple((float(entry["step"]), float(entry[key])) for entry in entries if _is_number(entry.get(key))), dots
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _lowest(entries: Sequence[dict[str, Any]], key: str) -> str:
    points = _series(key, entries, key).finite
    if not points:
        return ""
    step, value = min(points, key=lambda point: point[1])
    return f"validation: lowest {number_text(value)} at step {step:,.0f}"


def _warnings(log: Log) -> list[str]:
    """What went wrong in the log itself."""
    lost = [entry["step"] for entry in log.steps if _is_number(entry.get("loss")) and not math.isfinite(entry["loss"])]
    found = []
    if lost:
        found.append(f"The loss was not a number at {_counted(len(lost), 'step')}, first at step {lost[0]:,.0f}.")
    if log.damaged:
        found.append(
            f"{_counted(log.damaged, 'line')} of the log cannot be read, as after a stop in the middle of one."
        )
    if not log.steps:
        found.append("The log has no step yet.")
    return found


def _took(log: Log) -> str:
    """The training's time in words, empty where it is unknown; a resumed run counts its seconds anew."""
    total, before = 0.0, 0.0
    for entry in log.steps:
        seconds = entry.get("seconds")
        if _is_number(seconds) and math.isfinite(seconds):
            total += seconds - before if seconds >= before else seconds
            before = seconds
    hours, minutes = divmod(round(total / 60), 60)
    if hours:
        return f"{hours} h {minutes} min"
    if total >= 90:
        return f"{minutes} min"
    return f"{total:.0f} s" if total else ""


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def _named(key: str) -> str:
    """A figure's key in words."""
    if way := re.fullmatch(r"(text_to_image|image_to_text)_(?:r(\d+)|(\w+))", key):
        words = {"text_to_image": "text to picture", "image_to_text": "picture to text"}[way[1]]
        return f"{words}, R@{way[2]}" if way[2] else f"{words}, {way[3].replace('_', ' ').replace('map', 'mAP')}"
    return _NAMES.get(key, key.replace("_", " "))


def _title(key: str) -> str:
    name = _named(key)
    return name[:1].upper() + name[1:]


def _picture(address: str) -> str:
    """A thumbnail's address if it is one: the page loads nothing else."""
    return address if address.startswith("data:image/jpeg;base64,") else ""
