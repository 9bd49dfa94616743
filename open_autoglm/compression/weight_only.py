"""A picture graph whose convolutions keep their weights in int8 and compute in float: smaller, and no faster.

It shares the int8 weights of a graph that computes in int8; it knows nothing about calibration or bundles.
"""

from __future__ import annotations

import onnx
from onnx import helper

from .qdq import convolutions, plan, write_qdq


def weight_only_int8(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A folded float graph with int8 weights that are made float again as it is loaded; the original stays as it was.

    Raises BundleError where no convolution has constant weights.
    """
    names = list(dict.fromkeys(node.input[1] for node in convolutions(proto.graph)))
    # Ranges leave no trace in what is taken of it: the weights, rounded as those of any int8 graph of this tower.
    planned = plan(proto.graph)
    rounded = write_qdq(proto, planned, dict.fromkeys(planned.tensors, (0.0, 1.0)))
    arrays = {initializer.name: initializer for initializer in rounded.graph.initializer}
    back = {node.output[0].removesuffix("_DequantizeLinear_Output"): node for node in rounded.graph.node}
    made = onnx.ModelProto.FromString(proto.SerializeToString())
    for name in names:
        weights, scale = back[name].input[:2]
        made.graph.initializer.extend([arrays[weights], arrays[scale]])
        made.graph.initializer.remove(next(one for one in made.graph.initializer if one.name == name))
        made.graph.node.insert(0, helper.make_node("DequantizeLinear", [weights, scale], [name], axis=0))
    return made
