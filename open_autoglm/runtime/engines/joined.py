"""Steps that ONNX Runtime alone has, as functions of ONNX, for an engine that lacks them.

It knows what the steps mean; it knows nothing about any engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

# Attention among words [n, t, d], already in integers, of which there are those with 1 in ``there`` [n, t]
# (onnxruntime's ContribOperators.md). What is left out of it here, graphs of bundles leave out as well.
ATTENTION = """
<domain: "com.microsoft", opset_import: ["" : 20]>
QAttention <num_heads> (words, weights, bias, step, weights_step, there, zero) => (found)
{
    product = MatMulInteger (words, weights, zero)
    counted = Cast <to = 1> (product)
    steps = Mul (step, weights_step)
    scaled = Mul (counted, steps)
    linear = Add (scaled, bias)
    query, key, value = Split <axis = -1, num_outputs = 3> (linear)

    same = Constant <value_ints = [0, 0]> ()
    heads = Constant <value_int: int = @num_heads> ()
    axis = Constant <value_ints = [0]> ()
    several = Unsqueeze (heads, axis)
    rest = Constant <value_ints = [-1]> ()
    apart = Concat <axis = 0> (same, several, rest)
    query_apart = Reshape (query, apart)
    key_apart = Reshape (key, apart)
    value_apart = Reshape (value, apart)
    query_heads = Transpose <perm = [0, 2, 1, 3]> (query_apart)
    key_heads = Transpose <perm = [0, 2, 3, 1]> (key_apart)
    value_heads = Transpose <perm = [0, 2, 1, 3]> (value_apart)

    width = Shape <start = 3, end = 4> (query_apart)
    wide = Cast <to = 1> (width)
    root = Sqrt (wide)
    products = MatMul (query_heads, key_heads)
    scores = Div (products, root)
    one = Constant <value_float = 1.0> ()
    words_there = Cast <to = 1> (there)
    missing = Sub (one, words_there)
    lowest = Constant <value_float = -10000.0> ()
    lowered = Mul (missing, lowest)
    axes = Constant <value_ints = [1, 2]> ()
    mask = Unsqueeze (lowered, axes)
    masked = Add (scores, mask)
    shares = Softmax <axis = -1> (masked)
    looked = MatMul (shares, value_heads)
    turned = Transpose <perm = [0, 2, 1, 3]> (looked)
    together = Concat <axis = 0> (same, rest)
    found = Reshape (turned, together)
}
"""


def taken_apart(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph in steps of the ONNX standard."""
    import onnx.inliner
    import onnx.parser

    functions = [onnx.parser.parse_function(ATTENTION)]
    known = {(function.domain, function.name) for function in functions}
    if not any((node.domain, node.op_type) in known for node in proto.graph.node):
        return proto
    proto.functions.extend(functions)
    made: onnx.ModelProto = onnx.inliner.inline_local_functions(proto)
    return made
