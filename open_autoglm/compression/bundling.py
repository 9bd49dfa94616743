"""Makes a bundle of a PyTorch model: weights, processor, graphs, and the proof that the graphs are the model.

It knows the model, the export and the bundle's layout; it knows nothing about training.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from open_autoglm import bundle as bundles
from open_autoglm.bundle import WEIGHTS, Bundle, Graph, Manifest
from open_autoglm.errors import BundleError
from open_autoglm.manifest_checks import check_template
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMConfig, OpenAutoGLMProcessor
from open_autoglm.modeling.detection import Detector, from_checkpoint
from open_autoglm.runtime.proposals import DETECTOR, make_proposer
from open_autoglm.weights import Weights, write_weights

from .detector import detector_parity, export_detector
from .export import Exported, export_answer, export_cells, export_image, export_regions, export_text
from .export_writing import export_context, export_decode
from .parity import cells_parity, check_similarity, fusion_parity, image_parity, text_parity
from .parity_writing import writing_parity
from .sharing import gather_packed_rows, share_weights, strip_traces

CONCEPTS = {"classifier": "image_head.classifier.weight", "appearance": "image_head.appearance.weight"}


def make_bundle(
    model: OpenAutoGLM,
    processor: OpenAutoGLMProcessor,
    target: Path,
    name: str,
    *,
    sources: Sequence[Mapping[str, str]] = (),
    card: str = "",
    template: str = "{}",
    packed: bool = False,
    names: Sequence[str] = (),
    overwrite: bool = False,
    finish: Callable[[Path], None] | None = None,
) -> Path:
    """Writes the bundle ``target`` and returns its path.

    Its graphs are in float32; ``int8_bundle`` adds others. ``packed`` stores matrices as int8 with a scale a row;
    ``template`` turns a label into a sentence; ``names`` are the things it knows, for open questions; ``card`` is the
    text of the bundle's README. ``finish`` is given the bundle before it is put in place; it may add to it, and raises
    where it is not to be.

    Raises BundleError where a graph does not agree with the model or the bundle cannot be written.
    """
    try:
        check_template(template)
    except ValueError as error:
        raise BundleError(f"The bundle {name} was not made: {error}.") from error
    with bundles.writing(target, overwrite) as folder:
        state = {key: tensor.detach().float().numpy() for key, tensor in model.state_dict().items()}
        write_weights(folder / WEIGHTS, state, packed)
        model.config.save_pretrained(folder)
        processor.save_pretrained(folder)
        (folder / "README.md").write_text(card or f"# {name}\n", encoding="utf-8")
        stored = as_stored(model, folder)
        preprocessing = {
            "image": asdict(processor.image_processor.preprocessing),
            "text": text_settings(processor.tokenizer, model.config, template),
        }
        take_out_spaces(folder / "tokenizer.json")
        manifest = Manifest(
            name=name,
            space=space_id(folder, preprocessing),
            dimension=model.config.projection_dim,
            views=model.config.views,
            preprocessing=preprocessing,
            graphs={},
            fusion=fusion_facts(model),
            generation=generation_facts(model),
            similarity=similarity_facts(model),
            sources=tuple(sources),
        )
        graphs = write_graphs(stored, processor, Bundle(folder, manifest))
        manifest = replace(manifest, graphs=graphs)
        if model.answering is not None and model.answering.settings.proposals["kind"] == DETECTOR:
            manifest = with_detector(model.answering.settings.proposals, Bundle(folder, manifest))
        if model.config.aligned:
            if model.config.image_pooling == "map":
                manifest = with_cells(stored, processor, Bundle(folder, manifest))
            check_similarity(stored, processor, Bundle(folder, manifest))
        if names:
            manifest = with_vocabulary(folder, manifest, names)
        bundles.seal(folder, manifest)
        if finish is not None:
            finish(folder)
    return target


def as_stored(model: OpenAutoGLM, folder: Path) -> OpenAutoGLM:
    """The model with exactly the weights that were written."""
    weights = Weights(folder / WEIGHTS)
    stored = copy.deepcopy(model).eval()
    stored.load_state_dict({name: torch.from_numpy(weights.float32(name)) for name in weights}, strict=False)
    return stored


def write_graphs(model: OpenAutoGLM, processor: OpenAutoGLMProcessor, bundle: Bundle) -> dict[str, dict[str, Graph]]:
    """Exports, writes and checks every graph: those of the shared space, and those that answer or write."""
    (bundle.path / "onnx").mkdir()
    graphs = alignment_graphs(model, processor, bundle) if model.config.aligned else {}
    graphs |= fusion_graphs(model, processor, bundle) if model.answering is not None else {}
    return graphs | (writing_graphs(model, processor, bundle) if model.generator is not None else {})


def fusion_graphs(model: OpenAutoGLM, processor: OpenAutoGLMProcessor, bundle: Bundle) -> dict[str, dict[str, Graph]]:
    """The graphs of regions and answers, in float32."""
    preprocessing = processor.image_processor.preprocessing
    regions = write_graph(bundle, "onnx/regions.fp32.onnx", export_regions(model, preprocessing))
    exported = export_answer(model)
    gather_packed_rows(exported.proto, bundle.weights)
    answer = write_graph(bundle, "onnx/answer.fp32.onnx", exported)
    parity = fusion_parity(model, processor, bundle, regions, answer)
    return {
        "regions": {"fp32": replace(regions, parity=parity["regions"])},
        "answer": {"fp32": replace(answer, parity=parity["answer"])},
    }


def writing_graphs(model: OpenAutoGLM, processor: OpenAutoGLMProcessor, bundle: Bundle) -> dict[str, dict[str, Graph]]:
    """The graphs of a decoder that writes, in float32."""
    exported = export_context(model, processor.image_processor.preprocessing)
    context = write_graph(bundle, "onnx/context.fp32.onnx", exported)
    decode = write_graph(bundle, "onnx/decode.fp32.onnx", export_decode(model))
    parity = writing_parity(model, processor, bundle, context, decode)
    return {
        "context": {"fp32": replace(context, parity=parity["context"])},
        "decode": {"fp32": replace(decode, parity=parity["decode"])},
    }


def alignment_graphs(
    model: OpenAutoGLM, processor: OpenAutoGLMProcessor, bundle: Bundle
) -> dict[str, dict[str, Graph]]:
    """The graphs of pictures and sentences in the shared space, in float32."""
    preprocessing = processor.image_processor.preprocessing
    image = write_graph(bundle, "onnx/image.fp32.onnx", export_image(model, preprocessing))
    exported = export_text(model)
    gather_packed_rows(exported.proto, bundle.weights)
    text = write_graph(bundle, "onnx/text.fp32.onnx", exported)
    return {
        "image": {"fp32": replace(image, parity=image_parity(model, preprocessing, bundle, image))},
        "text": {"fp32": replace(text, parity=text_parity(model, processor.tokenizer, bundle, text))},
    }


def with_cells(model: OpenAutoGLM, processor: OpenAutoGLMProcessor, bundle: Bundle) -> Manifest:
    """Exports, writes and checks the graph of cells; the manifest with it."""
    preprocessing = processor.image_processor.preprocessing
    exported, cells = export_cells(model, preprocessing)
    graph = write_graph(bundle, "onnx/cells.fp32.onnx", exported)
    graph = replace(graph, parity=cells_parity(model, preprocessing, bundle, graph))
    return replace(bundle.manifest, cells=cells, graphs={**bundle.manifest.graphs, "cells": {"fp32": graph}})


def with_detector(proposals: Mapping[str, Any], bundle: Bundle) -> Manifest:
    """Exports, writes and checks the graph of the detector that regions come from; the manifest with it."""
    detector = make_proposer(proposals, from_checkpoint)
    assert isinstance(detector, Detector)  # noqa: S101  (that is what from_checkpoint makes)
    exported, used = export_detector(detector)
    graph = write_graph(bundle, "onnx/detect.fp32.onnx", exported)
    graph = replace(graph, parity=detector_parity(detector, used, bundle, graph))
    preprocessing = {**bundle.manifest.preprocessing, "detector": asdict(used)}
    graphs = {**bundle.manifest.graphs, "detect": {"fp32": graph}}
    return replace(bundle.manifest, preprocessing=preprocessing, graphs=graphs)


def with_vocabulary(
    folder: Path, manifest: Manifest, names: Sequence[str], vectors: Mapping[str, NDArray[np.float32]] | None = None
) -> Manifest:
    """Writes the names that a bundle knows, one a line, and their vectors, packed; the manifest with them.

    Where there are vectors, the model's head of pictures is that of concepts, which tells names apart.
    """
    vocabulary = {"names": "vocabulary.txt"}
    lines = (" ".join(name.split()) + "\n" for name in names)
    (folder / vocabulary["names"]).write_text("".join(lines), encoding="utf-8")
    if vectors is not None:
        vocabulary |= {"vectors": "vocabulary.safetensors", **CONCEPTS}
        write_weights(folder / vocabulary["vectors"], vectors, packed=True)
    return replace(manifest, vocabulary=vocabulary)


def write_graph(bundle: Bundle, file: str, exported: Exported) -> Graph:
    """Writes one graph without the weights that the bundle holds already."""
    strip_traces(exported.proto)
    shared = share_weights(exported.proto, bundle.weights)
    onnx.save(exported.proto, bundle.path / file)
    return Graph(file, exported.inputs, exported.outputs, {}, shared)


def similarity_facts(model: OpenAutoGLM) -> dict[str, str]:
    """The kind of similarity, and where its weights lie."""
    weights = {name: f"similarity.{name}" for name, _ in model.similarity.named_parameters()}
    return {"kind": model.config.similarity, **weights}


def fusion_facts(model: OpenAutoGLM) -> dict[str, Any]:
    """What the model answers, whether it matches, and where its regions come from; nothing if it only aligns."""
    if model.answering is None:
        return {}
    settings = model.answering.settings
    # A detector is part of the bundle, wherever it came from.
    proposals = {name: value for name, value in settings.proposals.items() if name != "source"}
    return {
        "answers": list(settings.answers),
        "proposals": proposals,
        **({"match": True} if settings.match else {}),
    }


def generation_facts(model: OpenAutoGLM) -> dict[str, Any]:
    """What the model writes with and how much, and where its regions come from; nothing of one that does not write."""
    if model.generator is None:
        return {}
    settings = model.generator.settings
    return {
        "tokens": list(model.generator.lexicon.ids),
        "most_tokens": settings.most_tokens,
        "proposals": dict(settings.proposals),
    }


def text_settings(tokenizer: Any, config: OpenAutoGLMConfig, template: str) -> dict[str, Any]:
    """What the runtime must know to tokenize as training does."""
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise BundleError(
            "The checkpoint's tokenizer has no fast form (tokenizer.json): convert it with transformers first."
        )
    return {
        "max_tokens": config.max_text_tokens,
        "pad_all": config.pad_text,
        "pad_id": tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0,
        "unknown_id": tokenizer.unk_token_id,
        "template": template,
    }


def take_out_spaces(path: Path) -> None:
    """Writes a JSON file in one line: a third of a tokenizer's is space, as transformers writes it."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(fields, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def space_id(folder: Path, preprocessing: Mapping[str, Mapping[str, Any]]) -> str:
    """16 hexadecimal digits of all that decides a vector: weights, configuration, preprocessing and tokenizer.

    Not what the model is called, which program wrote it, how a tokenizer is spelled in its file, or how a label becomes
    a sentence.
    """
    text = {name: value for name, value in preprocessing["text"].items() if name != "template"}
    # As transformers spells it, which is how it lay there before it was written in one line.
    tokenizer = json.dumps(json.loads((folder / "tokenizer.json").read_text("utf-8")), ensure_ascii=False, indent=2)
    parts = (
        bundles.sha256(folder / WEIGHTS),
        hashlib.sha256(tokenizer.encode()).hexdigest(),
        canonical(json.loads((folder / "config.json").read_text(encoding="utf-8"))),
        canonical({"image": preprocessing["image"], "text": text}),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def canonical(value: Any) -> str:
    """JSON in one spelling, without what a program notes of itself."""
    return json.dumps(without_notes(value), sort_keys=True, separators=(",", ":"))


def without_notes(value: Any) -> Any:
    """A configuration without its version and its name, at every depth."""
    if isinstance(value, dict):
        notes = ("transformers_version", "_name_or_path")
        return {key: without_notes(part) for key, part in value.items() if key not in notes}
    return value
