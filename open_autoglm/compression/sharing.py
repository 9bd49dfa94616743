"""Takes out of a graph every weight that lies in a file of tensors, so that it is stored once.

It knows ONNX protos and named tensors; it knows nothing about models or bundles' other parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from open_autoglm.bundle import WEIGHTS, Bundle, Graph, SharedTensor
from open_autoglm.weights import SCALE, Weights

# Below this many elements a weight costs less inside the graph than an entry in the manifest.
SMALLEST = 256


def share_weights(proto: onnx.ModelProto, weights: Weights) -> dict[str, SharedTensor]:
    """Empties the graph's weights that ``weights`` holds; returns where each is found, by its name in the graph."""
    known = fingerprints(weights)
    shared: dict[str, SharedTensor] = {}
    for initializer in proto.graph.initializer:
        if initializer.data_location == TensorProto.EXTERNAL or np.prod(initializer.dims) < SMALLEST:
            continue
        found = known.get(fingerprint(numpy_helper.to_array(initializer)))
        if found is not None:
            shared[initializer.name] = found
            make_external(initializer, found.file)
    return shared


class TensorStore:
    """Weights that several graphs have and ``model.safetensors`` has not, each once, for a ``file`` of their own."""

    def __init__(self, file: str, tensors: Mapping[str, NDArray[Any]] | None = None) -> None:
        self.file = file
        self.tensors = dict(tensors or {})
        self._known = {fingerprint(tensor): name for name, tensor in self.tensors.items()}

    def take(self, proto: onnx.ModelProto) -> dict[str, SharedTensor]:
        """Empties the graph's larger weights into the store; returns where each is found, by its name in the graph."""
        shared = {}
        for initializer in proto.graph.initializer:
            if initializer.data_location == TensorProto.EXTERNAL or np.prod(initializer.dims) < SMALLEST:
                continue
            array = numpy_helper.to_array(initializer)
            name = self._known.setdefault(fingerprint(array), self._unused(initializer.name))
            self.tensors[name] = array
            shared[initializer.name] = SharedTensor(name, stored=True, file=self.file)
            make_external(initializer, self.file)
        return shared

    def _unused(self, name: str) -> str:
        """A name that no other tensor has: those of two graphs may be alike."""
        return name if name not in self.tensors else self._unused(name + "_")


def bytes_needed(bundle: Bundle, graph: Graph) -> int:
    """Bytes of a graph's file and of the tensors that it takes, whether others take them, too, or not."""
    taken = {(one.file, part) for one in graph.weights.values() for part in bundle.tensors(one.file).parts(one.tensor)}
    tensors = sum(bundle.tensors(file).stored(part).nbytes for file, part in taken)
    return (bundle.path / graph.file).stat().st_size + tensors


def gather_packed_rows(proto: onnx.ModelProto, weights: Weights) -> None:
    """Lets lookups in a packed table (word embeddings) take int8 rows and scale them, which is exact."""
    known = fingerprints(weights)
    tables = {item.name: item for item in proto.graph.initializer}
    for node in list(proto.graph.node):
        table = tables.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or len(table.dims) != 2:
            continue
        found = known.get(fingerprint(numpy_helper.to_array(table)))
        if found is None or found.transpose or weights.stored(found.tensor).dtype != np.int8:
            continue
        replace_lookup(proto.graph, node, weights.stored(found.tensor), weights.stored(found.tensor + SCALE))


def replace_lookup(graph: onnx.GraphProto, node: onnx.NodeProto, rows: NDArray[Any], scale: NDArray[Any]) -> None:
    """One ``Gather`` of float rows becomes a gather of int8 rows, times a gather of their scales."""
    table, ids = node.input
    names = {
        part: f"{node.output[0]}.{part}" for part in ("rows", "floats", "scale", "column", "rows8", "scales", "last")
    }
    graph.initializer.extend(
        [
            numpy_helper.from_array(rows, names["rows8"]),
            numpy_helper.from_array(scale, names["scales"]),
            numpy_helper.from_array(np.array([-1]), names["last"]),
        ]
    )
    new = [
        helper.make_node("Gather", [names["rows8"], ids], [names["rows"]]),
        helper.make_node("Cast", [names["rows"]], [names["floats"]], to=TensorProto.FLOAT),
        helper.make_node("Gather", [names["scales"], ids], [names["scale"]]),
        helper.make_node("Unsqueeze", [names["scale"], names["last"]], [names["column"]]),
        helper.make_node("Mul", [names["floats"], names["column"]], list(node.output)),
    ]
    position = list(graph.node).index(node)
    graph.node.remove(node)
    for offset, made in enumerate(new):
        graph.node.insert(position + offset, made)
    if not any(table in other.input for other in graph.node):
        graph.initializer.remove(next(item for item in graph.initializer if item.name == table))


def strip_traces(proto: onnx.ModelProto) -> None:
    """Removes what the exporter noted of its own source files."""
    for node in proto.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in [*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    for owner in (proto, proto.graph):
        owner.ClearField("metadata_props")
        owner.ClearField("doc_string")


@dataclass(frozen=True)
class Fingerprint:
    """A tensor's dtype, shape and content."""

    dtype: str
    shape: tuple[int, ...]
    digest: bytes


def fingerprint(array: NDArray[Any]) -> Fingerprint:
    """What tells two tensors apart."""
    data = np.asarray(array, order="C")  # ascontiguousarray would give a scalar a dimension
    return Fingerprint(data.dtype.str, data.shape, hashlib.blake2b(data.tobytes(), digest_size=16).digest())


def fingerprints(weights: Weights) -> Mapping[Fingerprint, SharedTensor]:
    """Every form in which a graph may hold a tensor: float32 or packed, as it lies or transposed; and its scale."""
    known: dict[Fingerprint, SharedTensor] = {}
    for name in weights:
        forms = [(weights.float32(name), False)]
        if weights.stored(name).dtype == np.int8:
            forms.append((weights.stored(name), True))
            scale = SharedTensor(name + SCALE, stored=True)
            known.setdefault(fingerprint(weights.stored(scale.tensor)), scale)
        for array, stored in forms:
            known.setdefault(fingerprint(array), SharedTensor(name, stored))
            if array.ndim == 2:
                known.setdefault(fingerprint(array.T), SharedTensor(name, stored, transpose=True))
    return known


def make_external(initializer: TensorProto, file: str = WEIGHTS) -> None:
    """Leaves of a weight its name, type and shape; the runtime brings the data."""
    for data in ("raw_data", "float_data", "int32_data", "int64_data"):
        initializer.ClearField(data)
    initializer.data_location = TensorProto.EXTERNAL
    place = initializer.external_data.add()
    place.key, place.value = "location", file
