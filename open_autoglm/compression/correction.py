"""Brings back what rounding shifts: the mean error of each convolution's output, taken off its bias.

It knows float graphs and the rounding of their weights; it knows nothing about ranges or bundles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .qdq import Floats, convolutions, rounded
from .ranges import Inputs, observed

MEAN = ".mean"


def corrected(proto: onnx.ModelProto, inputs: Iterable[Inputs]) -> onnx.ModelProto:
    """The float graph with biases that make up for what int8 weights will do to the mean of each output channel.

    The error of a weight times the mean of what it is multiplied with is what it adds to the mean of its output
    (Nagel et al., arXiv 1906.04721, section 4.2); the means come from the inputs. A layer that is used at several
    sizes gets the mean of their corrections, and one without a bias none. Raises what ``observed`` raises.
    """
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    arrays = {initializer.name: initializer for initializer in copy.graph.initializer}
    layers = [node for node in convolutions(copy.graph) if len(node.input) > 2 and node.input[2] in arrays]
    if not layers:
        return copy
    means = channel_means(proto, sorted({node.input[0] for node in layers}), inputs)
    shifts = defaultdict[str, list[NDArray[np.float64]]](list)
    for node in layers:
        weights = numpy_helper.to_array(arrays[node.input[1]])
        shifts[node.input[2]].append(shift(rounded(weights) - weights, means[node.input[0]]))
    for name, found in shifts.items():
        bias = numpy_helper.to_array(arrays[name]) - np.mean(found, axis=0)
        arrays[name].CopyFrom(numpy_helper.from_array(bias.astype(np.float32), name))
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
