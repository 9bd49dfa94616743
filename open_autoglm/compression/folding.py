"""Brings a bundle's float graph into the form that quantisation starts from: weights inside, norms folded, each once.

It knows ONNX graphs and the bundle's shared tensors; it knows nothing about PyTorch or about integers.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import numpy_helper

from open_autoglm.bundle import Bundle, Graph
from open_autoglm.runtime.engines.session import shared_tensor

from .sharing import Fingerprint, fingerprint

STANDARD = ("", "ai.onnx")
FOLDED = ("ConvBnFusion_W_", "ConvBnFusion_BN_B_", "model.")


def inlined(bundle: Bundle, graph: Graph) -> onnx.ModelProto:
    """The graph with the weights that lie in the bundle's tensors put back inside."""
    proto = onnx.load(bundle.path / graph.file, load_external_data=False)
    for initializer in proto.graph.initializer:
        shared = graph.weights.get(initializer.name)
        if shared is not None:
            initializer.CopyFrom(
                numpy_helper.from_array(shared_tensor(bundle.tensors(shared.file), shared), initializer.name)
            )
    return proto


def folded(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same function with norms and padding folded into convolutions, and each weight held once.

    A tower that runs at several sizes has its norms folded once for each, into equal weights.
    """
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "folded.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 3
        ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        made = onnx.load(target)
    used = {node.domain for node in made.graph.node} | set(STANDARD)
    kept = [imported for imported in made.opset_import if imported.domain in used]
    del made.opset_import[:]
    made.opset_import.extend(kept)
    hold_once(made.graph)
    rename(made.graph, plain)
    name_nodes(made.graph)
    return made


def hold_once(graph: onnx.GraphProto) -> None:
    """Keeps one of the weights that are equal; the names are the shortest, so that they do not depend on an order."""
    same: dict[Fingerprint, list[str]] = {}
    for initializer in graph.initializer:
        same.setdefault(fingerprint(numpy_helper.to_array(initializer)), []).append(initializer.name)
    renamed = {name: min(names, key=lambda name: (len(name), name)) for names in same.values() for name in names}
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = renamed.get(name, name)
    kept = [initializer for initializer in graph.initializer if renamed[initializer.name] == initializer.name]
    kept = [onnx.TensorProto.FromString(initializer.SerializeToString()) for initializer in kept]
    del graph.initializer[:]
    graph.initializer.extend(sorted(kept, key=lambda initializer: initializer.name))


def plain(name: str) -> str:
    """A weight's name in the model, without what the exporter and ONNX Runtime, folding norms, put before it."""
    for before in FOLDED:
        name = name.removeprefix(before)
    return name


def rename(graph: onnx.GraphProto, called: Callable[[str], str]) -> None:
    """Calls tensors inside a graph by other names, where those are not taken."""
    taken = {one.name for one in (*graph.input, *graph.output, *graph.initializer)}
    taken |= {name for node in graph.node for name in node.output}
    fixed, names = {one.name for one in (*graph.input, *graph.output)}, dict[str, str]()
    for name in sorted(taken - fixed):
        if (other := called(name)) not in taken:
            names[name] = other
            taken.add(other)
    for initializer in graph.initializer:
        initializer.name = names.get(initializer.name, initializer.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def name_nodes(graph: onnx.GraphProto) -> None:
    """Gives every node a name of its own: quantisation chooses nodes by name."""
    seen = Counter[str]()
    for node in graph.node:
        base = node.name or node.op_type
        seen[base] += 1
        node.name = base if seen[base] == 1 else f"{base}_{seen[base]}"
