"""Whether the parts of a manifest that tell how a bundle works say what they must; a ValueError says what is amiss.

It knows what each part means; it knows nothing about files on a disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from .fields import REQUIRED, known_only, number, one_of, shown, table, text, truth, whole

FIT = {"temperature", "offset", "slope", "margin"}
EVIDENCE = {"similarity", "logit", "contrast", "company", "offset"}
KINDS = {"whole", "best_view", "presence"}
SIMILARITIES = {"cosine", "euclidean", "bilinear", "region_word"}
RESIZES = {"squash", "crop"}
RESAMPLES = {"nearest", "bilinear", "bicubic", "lanczos"}


def check_file(name: str, facts: Mapping[str, Any]) -> None:
    """A file's entry: a path inside the bundle, its size and its sha256."""
    path = PurePosixPath(name)
    if not path.parts or "\0" in name:
        raise ValueError(f"files has no usable name in {name!r}")
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"it names the file {name}, outside the bundle")
    whole(facts, "size", least=0, most=2**63)
    if len(text(facts, "sha256")) != 64:
        raise ValueError(f"the sha256 of {name!r} is not one")


def check_image(fields: Mapping[str, Any]) -> None:
    """How pictures are resized and normalised."""
    known_only(fields, {"height", "width", "resize", "mean", "std", "resample", "crop_from"}, "preprocessing.image")
    largest = max(whole(fields, "height"), whole(fields, "width"))
    one_of(text(fields, "resize"), RESIZES, "resize")
    one_of(text(fields, "resample", "bicubic"), RESAMPLES, "resample")
    for name in ("mean", "std"):
        values = fields.get(name)
        if not isinstance(values, list | tuple) or len(values) != 3:
            raise ValueError(f"{name} is {values!r} instead of three numbers")
        channels = [number({name: value}, name) for value in values]
        if name == "std" and min(channels) <= 0:
            raise ValueError(f"std is {values!r}, which is not above zero")
    crop_from = None if fields.get("crop_from") is None else whole(fields, "crop_from")
    if fields["resize"] == "crop" and (crop_from or fields["height"]) < largest:
        raise ValueError(f"crop_from is {crop_from!r}, smaller than what is cut from it")


def check_text(fields: Mapping[str, Any]) -> None:
    """How sentences are tokenized, and how a label becomes one."""
    whole(fields, "max_tokens")
    whole(fields, "pad_id", least=0)
    if fields.get("unknown_id", REQUIRED) is not None:
        whole(fields, "unknown_id", least=0)
    truth(fields, "pad_all")
    check_template(fields.get("template"))


def check_template(template: Any) -> None:
    """A sentence with {} once, where the label goes; ValueError where it is not one."""
    if not isinstance(template, str) or template.count("{}") != 1 or set(template.replace("{}", "")) & {"{", "}"}:
        raise ValueError(
            f"the template is {template!r} instead of a sentence with {{}} where the label goes, once, "
            "and no other braces"
        )


def check_similarity(fields: Mapping[str, Any]) -> None:
    """What a model is compared by."""
    one_of(text(fields, "kind"), SIMILARITIES, "similarity.kind")
    known_only(fields, {"kind", "matrix"} if fields["kind"] == "bilinear" else {"kind"}, "similarity")
    if fields["kind"] == "bilinear":
        text(fields, "matrix")


def check_fusion(fields: Mapping[str, Any]) -> None:
    """What a model answers, and where its regions come from."""
    known_only(fields, {"answers", "proposals", "match"}, "fusion")
    answers = fields.get("answers", REQUIRED)
    if not isinstance(answers, list | tuple) or not all(isinstance(one, str) and one for one in answers):
        raise ValueError(f"fusion.answers is {shown(answers)} instead of a list of texts")
    if not truth(fields, "match", False) and not answers:
        raise ValueError("fusion has no answers, and was not trained to match")
    text(table(fields, "proposals"), "kind")


def check_generation(fields: Mapping[str, Any]) -> int:
    """What a model writes with; how many logits there are: one a token, and three for none."""
    known_only(fields, {"tokens", "most_tokens", "proposals"}, "generation")
    tokens = fields.get("tokens", REQUIRED)
    if not isinstance(tokens, list | tuple) or not tokens or any(type(one) is not int or one < 0 for one in tokens):
        raise ValueError(f"generation.tokens is {shown(tokens)} instead of a list of whole numbers")
    whole(fields, "most_tokens", least=2)
    text(table(fields, "proposals"), "kind")
    return 3 + len(tokens)


def check_cells(fields: Mapping[str, Any]) -> int:
    """What the graph of cells takes and gives; how many cells there are."""
    known_only(fields, {"height", "width", "grids"}, "cells")
    whole(fields, "height"), whole(fields, "width")
    grids = fields.get("grids")
    if not isinstance(grids, list) or not grids or not all(isinstance(grid, list) and len(grid) == 2 for grid in grids):
        raise ValueError(f"the grids of cells are {shown(grids)} instead of pairs of rows and columns")
    sides = [{"rows": rows, "columns": columns} for rows, columns in grids]
    return sum(whole(side, "rows") * whole(side, "columns") for side in sides)


def check_vocabulary(fields: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    """Where the names that a bundle knows lie, and their vectors with the tensors that tell them apart."""
    known_only(fields, {"names", "vectors", "classifier", "appearance"}, "vocabulary")
    for name in ("names", "vectors") if "vectors" in fields else ("names",):
        if text(fields, name) not in files:
            raise ValueError(f"the vocabulary's {fields[name]!r} is not among its files")
    if "vectors" in fields:
        text(fields, "classifier"), text(fields, "appearance")


def check_calibration(fields: Mapping[str, Any]) -> None:
    """Which tensor a sentence's reach is taken from, if any, and the figures of each kind of score."""
    if "reference" in fields:
        text(fields, "reference")
    if "answers" in fields:
        answers = table(fields, "answers")
        known_only(answers, {"temperature", "least_confidence"}, "calibration.answers")
        if number(answers, "temperature") <= 0 or not 0 <= number(answers, "least_confidence") <= 1:
            raise ValueError("calibration.answers has a temperature or least_confidence out of range")
    for kind in {"match", "rerank"} & fields.keys():
        evidence = table(fields, kind)
        known_only(evidence, EVIDENCE, f"calibration.{kind}")
        for name in EVIDENCE:
            number(evidence, name)
    fits = table(fields, "fits", {})
    for kind in fits:
        one_of(kind, KINDS, "a kind in calibration.fits")
        fit = table(fits, kind)
        known_only(fit, FIT, f"calibration.fits.{kind}")
        for name in FIT:
            number(fit, name)
        if fit["temperature"] <= 0:
            raise ValueError(f"the temperature of calibration.fits.{kind} is not above zero")
