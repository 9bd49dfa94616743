"""Brings back what rounding shifts: the mean error of each convolution's output, taken off its bias.

It knows float graphs and the rounding of their weights; it knows nothing about ranges or bundles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .qdq import Floats, convolutions, rounded
from .ranges import Inputs, observed

MEAN = ".mean"


def bias_shifts(proto: onnx.ModelProto, inputs: Iterable[Inputs]) -> dict[str, NDArray[np.float64]]:
    """What int8 weights add to the mean of each output channel of their layers, [outputs], by the weights' name.

    The error of a weight times the mean of what it is multiplied with is what it adds to the mean of its output
    (Nagel et al., arXiv 1906.04721, section 4.2); the means come from the inputs. A layer that is used at several
    sizes gets the mean of theirs, and one without a bias none. Raises what ``observed`` raises.
    """
    arrays = {initializer.name: initializer for initializer in proto.graph.initializer}
    layers = [node for node in convolutions(proto.graph) if len(node.input) > 2 and node.input[2] in arrays]
    if not layers:
        return {}
    means = channel_means(proto, sorted({node.input[0] for node in layers}), inputs)
    found = defaultdict[str, list[NDArray[np.float64]]](list)
    for node in layers:
        weights = numpy_helper.to_array(arrays[node.input[1]])
        found[node.input[1]].append(shift(rounded(weights) - weights, means[node.input[0]]))
    return {name: np.mean(shifts, axis=0) for name, shifts in found.items()}


def corrected(
    proto: onnx.ModelProto, shifts: Mapping[str, NDArray[np.float64]], leave: Collection[str] = ()
) -> onnx.ModelProto:
    """The float graph with biases that make up for the shifts, but for layers whose weights are named in ``leave``."""
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    arrays = {initializer.name: initializer for initializer in copy.graph.initializer}
    biases = {node.input[2]: shifts[node.input[1]] for node in convolutions(copy.graph) if node.input[1] in shifts}
    kept = {node.input[2] for node in convolutions(copy.graph) if node.input[1] in leave and len(node.input) > 2}
    for name in biases.keys() - kept:
        bias = (numpy_helper.to_array(arrays[name]) - biases[name]).astype(np.float32)
        arrays[name].CopyFrom(numpy_helper.from_array(bias, name))
    return copy


def shift(error: Floats, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """What an error of weights [outputs, inputs of a group, ...] adds to the mean output, of inputs' means [inputs]."""
    taps = error.reshape(*error.shape[:2], -1).sum(axis=-1, dtype=np.float64)
    outputs, each = taps.shape
    groups = len(mean) // each
    by_group = taps.reshape(groups, outputs // groups, each)
    added: NDArray[np.float64] = np.einsum("goi,gi->go", by_group, mean.reshape(groups, each)).reshape(-1)
    return added


def channel_means(
    proto: onnx.ModelProto, tensors: list[str], inputs: Iterable[Inputs]
) -> dict[str, NDArray[np.float64]]:
    """The mean of every channel of maps [n, channels, h, w], taken in the graph, so that no map leaves it."""
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    copy.graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3], np.int64), "axes" + MEAN))
    for name in tensors:
        copy.graph.node.append(helper.make_node("ReduceMean", [name, "axes" + MEAN], [name + MEAN], keepdims=0))
    sums, count = {name: np.zeros(1) for name in tensors}, 0
    for values in observed(copy, [name + MEAN for name in tensors], inputs):
        count += 1
        for name in tensors:
            sums[name] = sums[name] + values[name + MEAN].astype(np.float64)
    return {name: total / count for name, total in sums.items()}
