"""Quantises graphs of tokens: weights int8 per channel, activations int8 as they come (dynamic).

Pictures' graphs are another matter: ``static_int8``. It knows nothing about bundles or how good the result is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from open_autoglm.errors import BundleError

from .int8_attention import join_attention
from .qdq import drop_zero_points, quiet

PRODUCTS = ("MatMul", "Gemm")


def dynamic_int8(proto: onnx.ModelProto, leave: Collection[str] = ()) -> onnx.ModelProto:
    """The same graph with matrix products in int8, and attention joined; the original stays as it was.

    Products with the weights named in ``leave`` stay in float. Raises BundleError where none has constant weights.
    """
    constants = {initializer.name for initializer in proto.graph.initializer}
    products = [node for node in proto.graph.node if node.op_type in PRODUCTS and node.input[1] in constants]
    if not products:
        raise BundleError("The graph has no product with constant weights: it cannot be quantised.")
    left = [node.name for node in products if node.input[1] in leave]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(proto, source)
        with quiet():
            quantize_dynamic(
                source,
                target,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[*left, *(f"{name}_MatMul" for name in left)],  # as the quantiser renames a Gemm
                extra_options={"MatMulConstBOnly": True},
            )
        made = onnx.load(target)
    drop_zero_points(made.graph)
    joined = join_attention(made)
    del joined.graph.value_info[:]  # as in ``export``
    return joined
