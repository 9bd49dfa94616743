"""An evaluation as tables of words, for a terminal and for a report alike.

It knows the dictionary that ``Evaluation.as_dict`` gives, also after JSON; it knows nothing about terminals or HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]
WAYS = (("text_to_image", "text to picture", "captions"), ("image_to_text", "picture to text", "pictures"))


@dataclass(frozen=True)
class Table:
    """A title, the columns' names, and rows of cells; columns of numbers are named in ``numbers`` by their index."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...] = (1,)


def headline(document: Document) -> str:
    """What was measured on what, in a sentence."""
    parts = [f"{document['pictures']:,} pictures"]
    parts += [f"{document['texts']:,} captions"] if document["texts"] else []
    if zero_shot := document["zero_shot"]:
        parts += [f"{len(zero_shot['texts']):,} classes"]
    views = "best views" if document["settings"]["views"] == "best_view" else "whole pictures"
    how = f"{document['settings']['similarity']} similarity of {views}"
    return f"{document['bundle']} on {', '.join(parts)}; {how}; data {document['fingerprint']}"


def tables(document: Document, longest: int = 5) -> list[Table]:
    """The figures, then the weakest classes and the most frequent confusions, at most ``longest`` of each."""
    found = [Table("Figures", ("figure", "value", "95 % interval", "measured on"), tuple(_figures(document)), (1, 2))]
    if zero_shot := document["zero_shot"]:
        figures = zero_shot["classification"]
        weakest = [
            (one["name"], _number(one["accuracy"]["value"]), _interval(one["accuracy"]), f"{one['pictures']:,}")
            for one in figures["per_class"]
            if one["accuracy"]["value"] < 1
        ]
        columns = ("class", "accuracy", "95 % interval", "pictures")
        found.append(Table("Weakest classes", columns, tuple(weakest[:longest]), (1, 2, 3)))
        pairs = [
            (one["truth"], one["taken"], f"{one['count']:,} of {one['pictures']:,}") for one in figures["confusions"]
        ]
        found.append(
            Table("Most frequent confusions", ("shows", "taken for", "pictures"), tuple(pairs[:longest]), (2,))
        )
    return [table for table in found if table.rows]


def notes(document: Document, longest: int = 10) -> list[str]:
    """What to know beside the figures: how classes were asked for, and what was passed over."""
    lines = []
    if zero_shot := document["zero_shot"]:
        name, texts = next(iter(zero_shot["texts"].items()))
        more = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
        lines.append(f"The class {name} is asked for as '{texts[0]}'{more}.")
        if (chances := zero_shot["probabilities"]) and chances["none_of_these"]:
            lines.append(
                f"'None of these' was the likeliest answer for {chances['none_of_these']:.1%} of the pictures."
            )
    problems: Sequence[Mapping[str, Any]] = document["problems"]
    if problems:
        skipped = sum(problem["skipped"] for problem in problems)
        lines.append(f"{skipped:,} rows, pictures or texts were skipped, {len(problems) - skipped:,} used in part:")
        lines += [f"  {problem['where']}: {problem['reason']}" for problem in problems[:longest]]
        lines += [f"  and {len(problems) - longest:,} more"] if len(problems) > longest else []
    return lines


def _figures(document: Document) -> Iterator[tuple[str, ...]]:
    for key, name, queries in WAYS:
        if way := document[key]:
            other = "pictures" if queries == "captions" else "captions"
            on = f"{way['queries']:,} {queries} among {way['items']:,} {other}"
            for k, estimate in way["recall"].items():
                yield (f"{name}, R@{k}", *_estimate(estimate), on)
            yield (f"{name}, mAP", *_estimate(way["mean_average_precision"]), on)
            yield (f"{name}, median rank", f"{way['median_rank']:g}", "", on)
    if zero_shot := document["zero_shot"]:
        figures, way = zero_shot["classification"], zero_shot["retrieval"]
        on = f"{zero_shot['pictures']:,} pictures of {len(zero_shot['texts']):,} classes"
        yield ("zero-shot, top 1", *_estimate(figures["top_1"]), on)
        yield ("zero-shot, top 5", *_estimate(figures["top_5"]), on)
        yield ("zero-shot, mean over classes", _number(figures["mean_per_class"]), "", on)
        names = f"{way['queries']:,} class names among {way['items']:,} pictures"
        yield ("class name to picture, mAP", *_estimate(way["mean_average_precision"]), names)
        if chances := zero_shot["probabilities"]:
            yield ("probabilities, calibration error", _number(chances["calibration_error"]), "", on)


def _estimate(estimate: Mapping[str, Any]) -> tuple[str, str]:
    return _number(estimate["value"]), _interval(estimate)


def _interval(estimate: Mapping[str, Any]) -> str:
    return f"{_number(estimate['low'])} to {_number(estimate['high'])}"


def _number(value: float) -> str:
    return f"{value:.3f}"
