"""Quantises exported graphs.

So far one way, for text: weights int8 per channel, activations int8 as they come (dynamic).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic


def dynamic_int8(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with its matrix products in int8; the original is left as it was."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(proto, source)
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(target)
