"""Adds int8 graphs to a bundle, or keeps only them: calibrated, then compared with the float ones on other pictures.

It reads graphs as the bundle has them, so it needs no PyTorch; it knows nothing about training.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from open_autoglm import bundle as bundles
from open_autoglm.bundle import WEIGHTS, Bundle, Graph, Manifest
from open_autoglm.errors import BundleError, SettingError
from open_autoglm.runtime.decoding import ImageSource
from open_autoglm.runtime.engine import Engine
from open_autoglm.runtime.model import Model
from open_autoglm.runtime.processor import NO_VNNI, lacks_vnni
from open_autoglm.weights import write_stored

from .correction import bias_shifts, corrected
from .folding import folded, inlined
from .graph_inputs import PICTURE_TASKS, TOKEN_TASKS, answer_inputs, picture_inputs, text_inputs
from .int8_parity import answers_parity, texts_parity, vectors_parity
from .quantize import dynamic_int8
from .sentences import SENTENCES
from .sharing import TensorStore, bytes_needed, share_weights
from .static_int8 import StaticSettings, layers_of, static_int8
from .weight_only import weight_only_int8

INT8_WEIGHTS = "int8.safetensors"
TOWER = "text.tower."
OUTPUTS = {"image": "vectors", "text": "vectors", "cells": "cells", "regions": "prepared", "context": "context"}
TASKS = (*PICTURE_TASKS, *TOKEN_TASKS)
MEANS = 16  # pictures that the means of a graph's maps are told by
Report = Callable[[str], None]


@dataclass(frozen=True)
class Int8Settings:
    """What is quantised and what it must keep.

    - ``static``: how graphs of pictures are quantised, and the mean cosine that they must keep on the check pictures.
    - ``least_text_cosine``: the mean cosine that the graph of sentences must keep.
    - ``least_same``: the share of answers, and of texts written, that must stay the same.
    - ``least_speedup``: how many times as fast a graph must be, as measured here; 0 where only its size counts.
    - ``tasks``: which graphs; by default every one that can be.
    - ``only``: leave out the float graphs that an int8 one replaces, and the tensors that no graph needs then. Where
      only the size counts, a graph of pictures that int8 is no good for then has its weights alone in int8, and
      computes in float.
    """

    static: StaticSettings = field(default_factory=StaticSettings)
    least_text_cosine: float = 0.98
    least_same: float = 0.99
    least_speedup: float = 1.0
    tasks: tuple[str, ...] = TASKS
    only: bool = False

    def __post_init__(self) -> None:
        for task in self.tasks:
            if task not in TASKS:
                raise SettingError(f"The graph {task!r} cannot be quantised: tasks are among {', '.join(TASKS)}.")
        for name in ("least_text_cosine", "least_same"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(f"{name} is {getattr(self, name)!r}: it must be from 0 to 1.")


@dataclass(frozen=True)
class Checks:
    """What a bundle is quantised with: pictures to calibrate, others to compare on, and what is asked about those.

    ``fitting``: other sentences, for what is fitted on sentences, too.
    """

    calibration: Sequence[ImageSource]
    pictures: Sequence[ImageSource]
    sentences: Sequence[str] = SENTENCES
    fitting: Sequence[str] = ()

    def __post_init__(self) -> None:
        for what, there in (("calibrate with", self.calibration), ("compare on", self.pictures)):
            if not there:
                raise SettingError(f"There is no picture to {what}: give at least one.")
        if not self.sentences:
            raise SettingError("There is no sentence to compare on: give at least one.")


@dataclass(frozen=True)
class Int8Bundle:
    """What was written: ``parity`` of each int8 graph, and ``notes``, a sentence each, on what computes in float."""

    path: Path
    parity: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...]


def quantise_bundle(
    source: Bundle,
    target: Path,
    checks: Checks,
    settings: Int8Settings | None = None,
    *,
    overwrite: bool = False,
    report: Report = lambda step: None,
) -> Int8Bundle:
    """Writes ``source`` with int8 graphs to ``target``; each has its figures on the check pictures in ``parity``.

    ``parity`` has ``mean_cosine`` and ``lowest_cosine``, or the share of ``same_answers`` of so many ``compared``;
    ``speedup`` over the float graph; ``bytes``, those of the tensors that it takes included; of a graph of pictures,
    how many ``float_layers`` it has. A graph that keeps less than it must stays in float, and is noted. What the source
    has in int8 of the same tasks is made anew. The embedding space stays the same, so that an index made with fp32 is
    searched with int8. ``report`` hears of each step. Raises BundleError where no graph could be quantised or the
    bundle cannot be written, ImageError for a picture that cannot be used.
    """
    settings = settings or Int8Settings()
    tasks = [task for task in settings.tasks if "fp32" in source.manifest.graphs.get(task, {})]
    source = without_int8(source, tasks)
    model = Model(source, precision="fp32")
    notes = [NO_VNNI] if lacks_vnni() else []
    store, written = TensorStore(INT8_WEIGHTS, int8_tensors(source)), dict[str, Graph]()
    with bundles.writing(target, overwrite) as folder:
        for file in source.manifest.files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source.path / file, folder / file)
        for task in tasks:
            report(f"Quantising the graph {task}")
            try:
                written[task] = write_graph(model, task, *quantised(model, task, checks, settings), store, folder)
            except BundleError as error:
                notes.append(f"The graph {task} stays in float: {error}")
        if store.tensors:
            write_stored(folder / INT8_WEIGHTS, store.tensors)
        kept = dict[str, Graph]()
        for task, graph in written.items():
            report(f"Comparing the graph {task}")
            figures = {**graph.parity, **compare(model, Bundle(folder, source.manifest), task, graph, checks)}
            problem = shortfall(task, figures, settings)
            if problem and settings.only and not settings.least_speedup and task in PICTURE_TASKS:
                report(f"Keeping the weights alone of the graph {task} in int8")
                like = next((kept[one] for one in PICTURE_TASKS if one in kept), None)
                beside = inlined(Bundle(folder, source.manifest), like) if like else None
                graph = write_graph(model, task, *weights_alone(model, task, checks, beside), store, folder)
                write_stored(folder / INT8_WEIGHTS, store.tensors)
                figures = {**graph.parity, **compare(model, Bundle(folder, source.manifest), task, graph, checks)}
                if not shortfall(task, figures, settings):
                    notes.append(f"The graph {task} has its weights alone in int8: {problem}.")
                    problem = None
            if problem:
                notes.append(f"The graph {task} stays in float: {problem}.")
                (folder / graph.file).unlink()
            else:
                kept[task] = replace(graph, parity=figures)
        if not kept:
            raise BundleError(f"No graph of {source.manifest.name} could be quantised: {' '.join(notes)}")
        used = set(int8_tensors(source)) | {shared.tensor for one in kept.values() for shared in one.weights.values()}
        if needed := {name: tensor for name, tensor in store.tensors.items() if name in used}:
            write_stored(folder / INT8_WEIGHTS, needed)
        for task, graph in kept.items():
            size = bytes_needed(Bundle(folder, source.manifest), graph)
            kept[task] = replace(graph, parity={**graph.parity, "bytes": float(size)})
        manifest = finish(folder, source, kept, settings.only)
        bundles.seal(folder, manifest)
    return Int8Bundle(Path(target), {task: dict(graph.parity) for task, graph in kept.items()}, tuple(notes))


def without_int8(source: Bundle, tasks: Collection[str]) -> Bundle:
    """The bundle without the int8 graphs of some tasks, and without tensors that only those take; on disk it stays."""
    manifest = source.manifest
    graphs = {
        task: {precision: graph for precision, graph in there.items() if precision != "int8" or task not in tasks}
        for task, there in manifest.graphs.items()
    }
    left = Bundle(source.path, replace(manifest, graphs=graphs))
    known = {graph.file for there in manifest.graphs.values() for graph in there.values()}
    gone = known - {graph.file for there in graphs.values() for graph in there.values()}
    if not int8_tensors(left):
        gone.add(INT8_WEIGHTS)
    files = {file: facts for file, facts in manifest.files.items() if file not in gone}
    return Bundle(source.path, replace(left.manifest, files=files))


def int8_tensors(bundle: Bundle) -> dict[str, NDArray[Any]]:
    """What the graphs of a bundle take from ``int8.safetensors``, by name."""
    taken = (
        shared for there in bundle.manifest.graphs.values() for one in there.values() for shared in one.weights.values()
    )
    names = sorted({shared.tensor for shared in taken if shared.file == INT8_WEIGHTS})
    return {name: bundle.tensors(INT8_WEIGHTS).stored(name) for name in names}


def write_graph(
    model: Model, task: str, proto: onnx.ModelProto, figures: Mapping[str, float], store: TensorStore, folder: Path
) -> Graph:
    """Writes a graph without the weights that lie in tensors; ``figures`` are those known of it."""
    float_graph = model.bundle.manifest.graphs[task]["fp32"]
    shared = share_weights(proto, model.bundle.weights)
    shared |= store.take(proto)
    file = f"onnx/{task}.int8.onnx"
    onnx.save(proto, folder / file)
    return Graph(file, float_graph.inputs, float_graph.outputs, figures, shared)


def quantised(
    model: Model, task: str, checks: Checks, settings: Int8Settings
) -> tuple[onnx.ModelProto, dict[str, float]]:
    """The int8 graph with its weights inside, and, of a graph of pictures, how many of its layers stay in float.

    What comes after a text tower stays in float, too: it is small, and its rounding would go undiluted into a vector
    or an answer.
    """
    graph = model.bundle.manifest.graphs[task]["fp32"]
    proto = inlined(model.bundle, graph)
    if task in TOKEN_TASKS:
        tower = {name for name, shared in graph.weights.items() if shared.tensor.startswith(TOWER)}
        others = {initializer.name for initializer in proto.graph.initializer} - tower
        return dynamic_int8(proto, others if tower else ()), {}
    made = static_int8(folded(proto), picture_inputs(model, task, checks.calibration), settings.static)
    return made.proto, {"float_layers": float(len(made.left))}


def weights_alone(
    model: Model, task: str, checks: Checks, beside: onnx.ModelProto | None
) -> tuple[onnx.ModelProto, dict[str, float]]:
    """The graph with its weights alone in int8, inside, and how many layers that leaves in float: all.

    Those that ``beside`` has, another graph of the tower with its weights inside, are as they are there.
    """
    proto = folded(inlined(model.bundle, model.bundle.manifest.graphs[task]["fp32"]))
    shifts = bias_shifts(proto, picture_inputs(model, task, checks.calibration[:MEANS]))
    made = weight_only_int8(corrected(proto, shifts), beside)
    return made, {"float_layers": float(len(layers_of(proto.graph)))}


def compare(model: Model, bundle: Bundle, task: str, graph: Graph, checks: Checks) -> dict[str, float]:
    """The figures of an int8 graph beside the float one, on the check pictures and sentences."""
    reference = Engine(model.bundle, model.bundle.graph(task, "fp32"))
    engine = Engine(bundle, graph)
    if task == "text":
        return vectors_parity(reference, engine, text_inputs(model.bundle, checks.sentences), OUTPUTS[task])
    if task == "answer":
        inputs = answer_inputs(model, checks.pictures, checks.sentences)
        return answers_parity(reference, engine, inputs, bool(model.fusion.answers))
    if task == "decode":
        contexts = [model.describing.look(model.prepare(picture)) for picture in checks.pictures]
        return texts_parity(reference, engine, contexts, model.describing.most_tokens)
    return vectors_parity(reference, engine, picture_inputs(model, task, checks.pictures), OUTPUTS[task])


def shortfall(task: str, figures: Mapping[str, float], settings: Int8Settings) -> str | None:
    """Where a graph keeps less than it must, what it keeps."""
    if "same_answers" in figures:
        found, least, what = figures["same_answers"], settings.least_same, "share of the same answers"
    else:
        least = settings.least_text_cosine if task == "text" else settings.static.least_cosine
        found, what = figures["mean_cosine"], "mean cosine"
    if found < least:
        return f"in int8 it keeps a {what} of {found:.4f}, and {least:g} is asked for"
    if figures["speedup"] < settings.least_speedup:
        return f"in int8 it is {figures['speedup']:.2f} times as fast, and {settings.least_speedup:g} is asked for"
    return None


def finish(folder: Path, source: Bundle, made: Mapping[str, Graph], only: bool) -> Manifest:
    """The manifest with the graphs made; with ``only``, what nothing needs any more is removed from the folder."""
    graphs = {task: {**there} for task, there in source.manifest.graphs.items()}
    for task, graph in made.items():
        graphs[task] = {"int8": graph} if only else {**graphs[task], "int8": graph}
    manifest = replace(source.manifest, graphs=graphs)
    if only:
        used = {graph.file for there in graphs.values() for graph in there.values()}
        for file in source.manifest.files:
            if file.startswith("onnx/") and file not in used and (folder / file).exists():
                (folder / file).unlink()
        keep_tensors(folder, source, manifest)
    if not int8_tensors(Bundle(folder, manifest)):
        (folder / INT8_WEIGHTS).unlink(missing_ok=True)
    return manifest


def keep_tensors(folder: Path, source: Bundle, manifest: Manifest) -> None:
    """Rewrites ``model.safetensors`` with the tensors that a graph, the similarity, calibration or vocabulary needs."""
    facts = (
        manifest.calibration.get("reference"),
        manifest.similarity.get("matrix"),
        manifest.vocabulary.get("classifier"),
        manifest.vocabulary.get("appearance"),
    )
    wanted = {name for name in facts if name}
    for graph in (graph for there in manifest.graphs.values() for graph in there.values()):
        wanted |= {shared.tensor for shared in graph.weights.values() if shared.file == WEIGHTS}
    kept = dict[str, NDArray[Any]]()
    for name in source.weights:
        parts = source.weights.parts(name)
        if not wanted.isdisjoint(parts):
            kept |= parts
    write_stored(folder / WEIGHTS, kept, source.weights.packed)
