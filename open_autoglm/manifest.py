"""The manifest of a bundle: what ``manifest.json`` may say, every value of it checked.

It knows the format alone; it knows nothing about where bundles lie or how they are run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

FORMAT = 1
FIT = {"temperature", "offset", "slope", "margin"}
MATCH = {"similarity", "logit", "offset"}
KINDS = {"whole", "best_view", "presence"}
SIMILARITIES = {"cosine", "euclidean", "bilinear", "region_word"}
COSINE = {"kind": "cosine"}
RESIZES = {"squash", "crop"}
RESAMPLES = {"nearest", "bilinear", "bicubic", "lanczos"}
MOST = 2**31 - 1  # of any size or count
REQUIRED: Any = object()


@dataclass(frozen=True)
class SharedTensor:
    """A graph's weight that lies in ``model.safetensors``: as float32, or as stored; transposed where asked."""

    tensor: str
    stored: bool = False
    transpose: bool = False


@dataclass(frozen=True)
class Graph:
    """An exported graph: its file, its inputs and outputs (name to ``dtype[shape]``), and where its weights lie.

    ``parity`` says how close it is to the model it came from; a graph without it is not run.
    """

    file: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    parity: Mapping[str, float]
    weights: Mapping[str, SharedTensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says.

    - ``space`` identifies the embedding space: vectors are comparable exactly when it is equal.
    - ``graphs`` maps a task (``image``, ``text``, ``cells``, ``regions``, ``answer``, ``context``, ``decode``,
      ``detect``) to its graphs by precision (``fp32``, ``int8``).
    - ``fusion``, of a model that looks at regions: its ``answers``, if any, whether it was trained to ``match``, and
      the ``proposals`` that its regions come from.
    - ``generation``, of a model that writes: the tokenizer's ``tokens`` that it writes with, ``most_tokens`` of a
      prompt and its text, and its ``proposals``.
    - ``similarity`` is what the model was trained with: its ``kind``, and for ``bilinear`` the tensor that is its
      ``matrix``; a bundle that says nothing is compared by cosine.
    - ``cells``: the size of the picture that the graph of cells takes, and its ``grids``, rows and columns each.
    - ``vocabulary``: the file of the ``names`` that the bundle knows, and that of their ``vectors`` if it has them.
    - ``files`` maps each file to its size in bytes and its sha256.
    """

    name: str
    space: str
    dimension: int
    views: int
    preprocessing: Mapping[str, Any]
    graphs: Mapping[str, Mapping[str, Graph]]
    fusion: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    similarity: Mapping[str, str] = field(default_factory=lambda: dict(COSINE))
    calibration: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[Mapping[str, str], ...] = ()
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cells: Mapping[str, Any] = field(default_factory=dict)
    vocabulary: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT


def parse_manifest(fields: Mapping[str, Any]) -> Manifest:
    """A manifest from its JSON; ValueError says which value does not fit."""
    dimension, views = whole(fields, "dimension"), whole(fields, "views")
    preprocessing = table(fields, "preprocessing")
    check_image(table(preprocessing, "image"))
    check_text(table(preprocessing, "text"))
    if "detector" in preprocessing:
        check_image(table(preprocessing, "detector"))
    calibration = table(fields, "calibration", {})
    if calibration:
        check_calibration(calibration)
    similarity = table(fields, "similarity", COSINE)
    check_similarity(similarity)
    files = table(fields, "files")
    for name in files:
        check_file(name, table(files, name))
    graphs = table(fields, "graphs")
    outputs = {
        "image": {"vectors": f"float32[n, {views}, {dimension}]"},
        "text": {"vectors": f"float32[n, {dimension}]"},
    }
    fusion = table(fields, "fusion", {})
    if fusion:
        check_fusion(fusion)
        outputs |= {"regions": {}, "answer": {"match": "float32[n]"}, "detect": {}}
        if fusion["answers"]:
            outputs["answer"]["answers"] = f"float32[n, {len(fusion['answers'])}]"
    generation = table(fields, "generation", {})
    if generation:
        outputs |= {"context": {}, "decode": {"logits": f"float32[n, {check_generation(generation)}]"}}
    if similarity["kind"] == "region_word":
        outputs["text"]["words"] = f"float32[n, t, {dimension}]"
    cells = table(fields, "cells", {})
    if cells:
        outputs["cells"] = {"cells": f"float32[n, {check_cells(cells)}, {dimension}]"}
    vocabulary = table(fields, "vocabulary", {})
    if vocabulary:
        check_vocabulary(vocabulary, files)
    for task in graphs:
        one_of(task, set(outputs), "a task in graphs")
    return Manifest(
        name=text(fields, "name"),
        space=text(fields, "space"),
        dimension=dimension,
        views=views,
        preprocessing=preprocessing,
        graphs={
            task: {
                precision: parse_graph(table(table(graphs, task), precision), files, outputs[task])
                for precision in table(graphs, task)
            }
            for task in graphs
        },
        fusion=fusion,
        generation=generation,
        similarity=similarity,
        calibration=calibration,
        quality=table(fields, "quality", {}),
        sources=tuple(parse_sources(fields.get("sources", []))),
        files=files,
        cells=cells,
        vocabulary=vocabulary,
    )


def parse_graph(fields: Mapping[str, Any], files: Mapping[str, Any], wanted: Mapping[str, str]) -> Graph:
    """A graph's entry from its JSON, which must lie in ``files`` and give the outputs that are ``wanted``."""
    file = text(fields, "file")
    if file not in files:
        raise ValueError(f"the graph {file!r} is not among its files")
    outputs = texts(fields, "outputs")
    for name, shape in wanted.items():
        if outputs.get(name) != shape:
            raise ValueError(f"the graph {file!r} gives the {name} {outputs.get(name)!r} where {shape} is expected")
    parity = table(fields, "parity")
    weights = table(fields, "weights", {})
    return Graph(
        file,
        texts(fields, "inputs"),
        outputs,
        {name: number(parity, name) for name in parity},
        {name: parse_shared(table(weights, name)) for name in weights},
    )


def parse_shared(fields: Mapping[str, Any]) -> SharedTensor:
    """Where one weight of a graph lies."""
    known_only(fields, {"tensor", "stored", "transpose"}, "a graph's weight")
    return SharedTensor(text(fields, "tensor"), truth(fields, "stored", False), truth(fields, "transpose", False))


def parse_sources(entries: Any) -> list[dict[str, str]]:
    """What the bundle was made from."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("sources is not a list of objects")
    return [{key: text(entry, key) for key in entry} for entry in entries]


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
    """Where the names that a bundle knows lie, and their vectors."""
    known_only(fields, {"names", "vectors"}, "vocabulary")
    text(fields, "names")
    for name in texts({"vocabulary": fields}, "vocabulary").values():
        if name not in files:
            raise ValueError(f"the vocabulary's {name!r} is not among its files")


def check_calibration(fields: Mapping[str, Any]) -> None:
    """Which tensor a sentence's reach is taken from, if any, and the figures of each kind of score."""
    if "reference" in fields:
        text(fields, "reference")
    if "answers" in fields:
        answers = table(fields, "answers")
        known_only(answers, {"temperature", "least_confidence"}, "calibration.answers")
        if number(answers, "temperature") <= 0 or not 0 <= number(answers, "least_confidence") <= 1:
            raise ValueError("calibration.answers has a temperature or least_confidence out of range")
    if "match" in fields:
        match = table(fields, "match")
        known_only(match, MATCH, "calibration.match")
        for name in MATCH:
            number(match, name)
    fits = table(fields, "fits", {})
    for kind in fits:
        one_of(kind, KINDS, "a kind in calibration.fits")
        fit = table(fits, kind)
        known_only(fit, FIT, f"calibration.fits.{kind}")
        for name in FIT:
            number(fit, name)
        if fit["temperature"] <= 0:
            raise ValueError(f"the temperature of calibration.fits.{kind} is not above zero")


def table(fields: Mapping[str, Any], key: str, default: Any = REQUIRED) -> dict[str, Any]:
    """An object."""
    value = fields.get(key, default)
    if not isinstance(value, dict):
        raise ValueError(f"{key} is {shown(value)} instead of an object")
    return value


def texts(fields: Mapping[str, Any], key: str) -> dict[str, str]:
    """An object of strings."""
    entries = table(fields, key)
    return {name: text(entries, name) for name in entries}


def text(fields: Mapping[str, Any], key: str, default: Any = REQUIRED) -> str:
    """A string that is not empty."""
    value = fields.get(key, default)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is {shown(value)} instead of text")
    return value


def truth(fields: Mapping[str, Any], key: str, default: Any = REQUIRED) -> bool:
    """True or false."""
    value = fields.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is {shown(value)} instead of true or false")
    return value


def whole(fields: Mapping[str, Any], key: str, least: int = 1, most: int = MOST) -> int:
    """A whole number of a range."""
    value = fields.get(key, REQUIRED)
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{key} is {shown(value)} instead of a whole number from {least}")
    return value


def number(fields: Mapping[str, Any], key: str) -> float:
    """A finite number."""
    value = fields.get(key, REQUIRED)
    if type(value) not in (int, float) or not -1e300 < value < 1e300 or not math.isfinite(value):
        raise ValueError(f"{key} is {shown(value)} instead of a number")
    return float(value)


def one_of(value: str, known: set[str], what: str) -> None:
    """A value of a few."""
    if value not in known:
        raise ValueError(f"{what} is {value!r} instead of one of {', '.join(sorted(known))}")


def known_only(fields: Mapping[str, Any], known: set[str], what: str) -> None:
    """No fields beside the known ones."""
    for name in fields:
        if name not in known:
            raise ValueError(f"{what} has a field {name!r} that this program does not know")


def shown(value: Any) -> str:
    """A value as a message quotes it."""
    return "missing" if value is REQUIRED else repr(value)[:60]
