"""A picture graph whose convolutions keep their weights in int8 and compute in float: smaller, and no faster.

It shares the int8 weights of a graph that computes in int8; it knows nothing about calibration or bundles.
"""

from __future__ import annotations

import onnx
from onnx import helper

from .qdq import FLOAT, convolutions, plan, write_qdq


def weight_only_int8(proto: onnx.ModelProto, beside: onnx.ModelProto | None = None) -> onnx.ModelProto:
    """A folded float graph with int8 weights that are made float again as it is loaded; the original stays as it was.

    ``beside``: another graph of the same tower, in int8 with its weights inside. Its weights are taken where it has
    them, so that they are stored once: a few channels are rounded by the range of what goes in, too. Raises BundleError
    where no convolution has constant weights.
    """
    names = list(dict.fromkeys(node.input[1] for node in convolutions(proto.graph)))
    planned = plan(proto.graph)
    rounded = rounded_weights(write_qdq(proto, planned, dict.fromkeys(planned.tensors, (0.0, 1.0))))
    if beside is not None:
        rounded |= rounded_weights(beside)
    made = onnx.ModelProto.FromString(proto.SerializeToString())
    for name in names:
        weights, scale = rounded[name]
        made.graph.initializer.extend([weights, scale])
        made.graph.initializer.remove(next(one for one in made.graph.initializer if one.name == name))
        made.graph.node.insert(0, helper.make_node("DequantizeLinear", [weights.name, scale.name], [name], axis=0))
    return made


def rounded_weights(proto: onnx.ModelProto) -> dict[str, tuple[onnx.TensorProto, onnx.TensorProto]]:
    """What a graph in int8 has for each constant, by its name in float: values and scales."""
    arrays = {initializer.name: initializer for initializer in proto.graph.initializer}
    return {
        node.output[0].removesuffix(FLOAT): (arrays[node.input[0]], arrays[node.input[1]])
        for node in proto.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in arrays
    }
