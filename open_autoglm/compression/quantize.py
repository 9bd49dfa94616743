"""Quantises exported graphs.

So far one way, for text: weights int8 per channel, activations int8 as they come (dynamic).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

HEAD = "text_head"  # as the exporter notes where in the model a node comes from


def dynamic_int8(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with the tower's matrix products in int8; the original is left as it was.

    The head stays in float: it is small, and its rounding would go into every vector undiluted.
    """
    head = [node.name for node in proto.graph.node if any(HEAD in prop.value for prop in node.metadata_props)]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(proto, source)
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=head,
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(target)
