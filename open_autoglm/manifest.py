"""The manifest of a bundle: what ``manifest.json`` may say, every value of it checked.

It knows the format alone; it knows nothing about where bundles lie or how they are run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .fields import known_only, number, one_of, shown, table, text, texts, truth, whole
from .manifest_checks import (
    check_calibration,
    check_cells,
    check_file,
    check_fusion,
    check_generation,
    check_image,
    check_similarity,
    check_text,
    check_vocabulary,
)

FORMAT = 1
WEIGHTS = "model.safetensors"
PRECISIONS = ("int8", "fp32")
COSINE = {"kind": "cosine"}


@dataclass(frozen=True)
class SharedTensor:
    """A graph's weight that lies in a file of tensors: as float32, or as stored; transposed where asked."""

    tensor: str
    stored: bool = False
    transpose: bool = False
    file: str = WEIGHTS


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
    - ``vocabulary``: the file of the ``names`` that the bundle knows, and that of their ``vectors`` if it has them,
      with the tensors of the ``classifier`` and the ``appearance`` that tell them apart.
    - ``files`` maps each file to its size in bytes and its sha256.
    - ``precisions``: which of a task's graphs is run where none is asked for: the first of these that it has.
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
    precisions: tuple[str, ...] = PRECISIONS
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
        precisions=parse_precisions(fields.get("precisions", PRECISIONS)),
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
        {name: parse_shared(table(weights, name), files) for name in weights},
    )


def parse_shared(fields: Mapping[str, Any], files: Mapping[str, Any]) -> SharedTensor:
    """Where one weight of a graph lies."""
    known_only(fields, {"tensor", "stored", "transpose", "file"}, "a graph's weight")
    shared = SharedTensor(
        text(fields, "tensor"),
        truth(fields, "stored", False),
        truth(fields, "transpose", False),
        text(fields, "file", WEIGHTS),
    )
    if shared.file not in files:
        raise ValueError(f"the weight {shared.tensor!r} lies in {shared.file!r}, which is not among its files")
    return shared


def parse_precisions(entries: Any) -> tuple[str, ...]:
    """Which graphs are preferred."""
    if not isinstance(entries, list | tuple) or not entries or not all(isinstance(one, str) for one in entries):
        raise ValueError(f"precisions is {shown(entries)} instead of a list of names")
    return tuple(entries)


def parse_sources(entries: Any) -> list[dict[str, str]]:
    """What the bundle was made from."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("sources is not a list of objects")
    return [{key: text(entry, key) for key in entry} for entry in entries]
