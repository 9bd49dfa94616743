"""Writes a float graph with int8 convolutions: which nodes take part, their ranges, their weights' rounding.

The graph says so in pairs of QuantizeLinear and DequantizeLinear, which ONNX Runtime and OpenVINO fuse into integer
kernels; it knows nothing about where ranges come from or how good the result is.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from open_autoglm.errors import BundleError

from .folding import rename

Ranges = Mapping[str, tuple[float, float]]
Floats = NDArray[np.float32]

ZERO_POINTS = {"DequantizeLinear": (0, 2), "MatMulInteger": (1, 3)}  # which inputs weights and their zero point are
FLOAT = ".float"  # what the name of a tensor ends in that was made float again
ENDINGS = {"_DequantizeLinear_Output": FLOAT, "_QuantizeLinear_Output": ".int8", "_quantized": ".int8"}
DEAD = 1e-4  # of a layer's largest weight: a channel below is a constant, and a scale of its own would be next to zero


@dataclass(frozen=True)
class Plan:
    """What becomes int8, by name: ``nodes``; ``tensors``, whose ranges are needed."""

    nodes: tuple[str, ...]
    tensors: tuple[str, ...]


def convolutions(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The convolutions whose weights are constant, in order; BundleError where there is none."""
    constants = {initializer.name for initializer in graph.initializer}
    found = [node for node in graph.node if node.op_type == "Conv" and node.input[1] in constants]
    if not found:
        raise BundleError("The graph has no convolution with constant weights: it cannot be quantised statically.")
    return found


def plan(graph: onnx.GraphProto, leave: Collection[str] = ()) -> Plan:
    """Every convolution but those whose weights are named in ``leave``, what is fused with one, and sums of them.

    A sum of two maps that are int8 already is made in int8 too: a float one in between would cost two conversions.
    """
    taken = [node for node in convolutions(graph) if node.input[1] not in leave]
    inside = {node.output[0] for node in taken}
    nodes, tensors = {node.name for node in taken}, {node.input[0] for node in taken} | inside
    for node in graph.node:
        joins = node.op_type in ("Clip", "Relu") and node.input[0] in inside
        sums = node.op_type == "Add" and all(name in inside for name in node.input)
        if joins or sums:
            nodes.add(node.name)
            inside.add(node.output[0])
            tensors.add(node.output[0])
    return Plan(tuple(sorted(nodes)), tuple(sorted(tensors)))


def write_qdq(proto: onnx.ModelProto, planned: Plan, ranges: Ranges) -> onnx.ModelProto:
    """The graph with the planned nodes in int8: weights symmetric for each output channel, activations uint8.

    Biases stay as they are: the engine makes them int32 with the scale of the place where they are added, so that a
    tower that runs at several sizes has one.
    """
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    if not planned.nodes:  # which the quantiser would take for all of them
        return copy
    silence(copy.graph, planned)
    given = {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()}
    quantizer = QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=False,  # where there is no VNNI, sums are made exact when the graph is run
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, given),
        nodes_to_quantize=list(planned.nodes),
        nodes_to_exclude=[],
        op_types_to_quantize=["Conv", "Clip", "Relu", "Add"],
        extra_options={"ActivationSymmetric": False, "WeightSymmetric": True, "QuantizeBias": False},
    )
    with quiet():
        quantizer.quantize_model()
    written: onnx.ModelProto = quantizer.model.model
    del written.graph.value_info[:]
    rescale_dead(written.graph)
    drop_zero_points(written.graph)
    rename(written.graph, short)
    name_apart(written.graph)
    return written


@contextmanager
def quiet() -> Iterator[None]:
    """The quantiser warns on the root logger of what is meant."""
    before = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(before)


def silence(graph: onnx.GraphProto, planned: Plan) -> None:
    """Sets the weights of dead channels to zero, in the layers that become int8."""
    names = {node.input[1] for node in convolutions(graph) if node.name in planned.nodes}
    for initializer in graph.initializer:
        if initializer.name in names:
            weights = numpy_helper.to_array(initializer)
            initializer.CopyFrom(numpy_helper.from_array(alive(weights), initializer.name))


def alive(weights: Floats) -> Floats:
    """The weights of a convolution [outputs, ...] without its dead channels'."""
    largest = np.abs(weights).reshape(len(weights), -1).max(axis=1)
    dead = largest < DEAD * largest.max()
    return np.where(dead.reshape(-1, *[1] * (weights.ndim - 1)), np.float32(0), weights)


def rounded(weights: Floats) -> Floats:
    """The values that the weights of a convolution [outputs, ...] have in int8."""
    kept = alive(weights)
    scale = np.abs(kept).reshape(len(kept), -1).max(axis=1) / np.float32(127)
    scale = np.where(scale == 0, np.float32(1), scale).reshape(-1, *[1] * (weights.ndim - 1))
    values: Floats = np.rint(kept / scale) * scale
    return values


def rescale_dead(graph: onnx.GraphProto) -> None:
    """Gives a dead channel the middle scale of its layer: that of its bias follows from it, and must not be coarse."""
    arrays = {initializer.name: initializer for initializer in graph.initializer}
    for node in graph.node:
        weights, scale = (arrays.get(name) for name in node.input[:2]) if len(node.input) > 1 else (None, None)
        if node.op_type != "DequantizeLinear" or weights is None or scale is None or not scale.dims:
            continue
        values, scales = numpy_helper.to_array(weights), numpy_helper.to_array(scale).copy()
        dead = ~values.reshape(len(values), -1).any(axis=1)
        if dead.any() and not dead.all():
            scales[dead] = np.median(scales[~dead])
            scale.CopyFrom(numpy_helper.from_array(scales, scale.name))


def drop_zero_points(graph: onnx.GraphProto) -> None:
    """Leaves out the zero points of weights: a symmetric weight's are zeros, as they are where none are given."""
    arrays = {initializer.name: initializer for initializer in graph.initializer}
    unused = set[str]()
    for node in graph.node:
        weights, zero_point = ZERO_POINTS.get(node.op_type, (0, 0))
        if zero_point and len(node.input) > zero_point and node.input[weights] in arrays:
            zero = arrays[node.input[zero_point]]
            if not numpy_helper.to_array(zero).any():
                unused.add(zero.name)
                del node.input[zero_point]
    for name in unused - {name for node in graph.node for name in node.input}:
        graph.initializer.remove(arrays[name])


def short(name: str) -> str:
    """A tensor's name with less of what the quantiser adds: names are a third of a graph whose weights lie outside."""
    for ending, shorter in ENDINGS.items():
        name = name.removesuffix(ending) + shorter if name.endswith(ending) else name
    return name


def name_apart(graph: onnx.GraphProto) -> None:
    """Gives a layer that runs at several sizes its int8 weights under several names; a bundle holds them once.

    Where there is no VNNI, ONNX Runtime puts others in their place, and cannot do so twice under one name.
    """
    arrays = {initializer.name: initializer for initializer in graph.initializer}
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for node in [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in arrays]:
        for number, user in enumerate(users[node.output[0]][1:], 2):
            copy = onnx.NodeProto.FromString(node.SerializeToString())
            copy.name, copy.input[0], copy.output[0] = (
                f"{name}_{number}" for name in (node.name, node.input[0], node.output[0])
            )
            user.input[list(user.input).index(node.output[0])] = copy.output[0]
            graph.node.append(copy)
            graph.initializer.append(onnx.TensorProto.FromString(arrays[node.input[0]].SerializeToString()))
            graph.initializer[-1].name = copy.input[0]
