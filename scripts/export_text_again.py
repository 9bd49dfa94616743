"""Writes a bundle with its graphs of sentences as this version exports and quantises them, from its own weights.

    python scripts/export_text_again.py open-autoglm-base --to build/open-autoglm-base

What the bundle computes stays, and so does its space: indexes made with it are searched as before.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from open_autoglm.bundle import Bundle, Graph, Manifest, seal, writing
from open_autoglm.compression.bundling import write_graph
from open_autoglm.compression.export import export_answer, export_text
from open_autoglm.compression.int8_bundle import INT8_WEIGHTS, Checks, Int8Settings, compare, quantised
from open_autoglm.compression.int8_bundle import write_graph as write_int8
from open_autoglm.compression.parity import fusion_parity, text_parity
from open_autoglm.compression.sharing import TensorStore, gather_packed_rows
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMProcessor
from open_autoglm.runtime.model import Model
from open_autoglm.weights import write_stored

SAMPLE = [Path(__file__).parent.parent / "samples" / "grocery" / "banana.jpg"]  # which sentences are not compared on


def main() -> None:
    """Exports, compares each graph with the model, and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    source = Bundle.open(arguments.bundle)
    with writing(arguments.to, overwrite=True) as folder:
        for file in source.manifest.files:
            (folder / file).parent.mkdir(exist_ok=True)
            shutil.copy2(source.path / file, folder / file)
        manifest = in_float(source, folder)
        if "int8" in source.manifest.graphs.get("text", {}):
            manifest = with_graph(manifest, "text", "int8", in_int8(Bundle(folder, manifest)))
        seal(folder, manifest)
    print(f"Wrote the bundle {arguments.to}.")


def in_float(source: Bundle, folder: Path) -> Manifest:
    """The manifest with the float graphs of sentences, which are written anew."""
    model = OpenAutoGLM.from_pretrained(source.path).eval()
    processor = OpenAutoGLMProcessor.from_pretrained(source.path)
    manifest = source.manifest
    for task, export in (("text", export_text), ("answer", export_answer)):
        if task not in manifest.graphs:
            continue
        exported, bundle = export(model), Bundle(folder, manifest)
        gather_packed_rows(exported.proto, bundle.weights)
        graph = write_graph(bundle, manifest.graphs[task]["fp32"].file, exported)
        if task == "text":
            parity = text_parity(model, processor.tokenizer, bundle, graph, "fp32")
        else:
            parity = fusion_parity(model, processor, bundle, bundle.graph("regions", "fp32"), graph)[task]
        manifest = with_graph(manifest, task, "fp32", replace(graph, parity=parity))
    return manifest


def in_int8(bundle: Bundle) -> Graph:
    """The int8 graph of sentences, written; what other graphs have in the file of int8 tensors stays there."""
    model, checks = Model(bundle, precision="fp32"), Checks(SAMPLE, SAMPLE)
    others = [graph for task, there in bundle.manifest.graphs.items() if task != "text" for graph in there.values()]
    kept = {shared.tensor for graph in others for shared in graph.weights.values() if shared.file == INT8_WEIGHTS}
    store = TensorStore(INT8_WEIGHTS, {name: bundle.tensors(INT8_WEIGHTS).stored(name) for name in sorted(kept)})
    graph = write_int8(model, "text", *quantised(model, "text", checks, Int8Settings()), store, bundle.path)
    write_stored(bundle.path / INT8_WEIGHTS, store.tensors)
    written = Bundle(bundle.path, bundle.manifest)
    return replace(graph, parity={**graph.parity, **compare(model, written, "text", graph, checks)})


def with_graph(manifest: Manifest, task: str, precision: str, graph: Graph) -> Manifest:
    """The manifest with one graph in another's place."""
    return replace(manifest, graphs={**manifest.graphs, task: {**manifest.graphs[task], precision: graph}})


if __name__ == "__main__":
    main()
