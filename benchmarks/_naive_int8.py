"""The picture graph in int8 as ONNX Runtime's quantiser makes it without further care: what ours stands beside."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from open_autoglm.compression.ranges import Inputs


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Inputs one after the other, as the quantiser asks for them."""

    def __init__(self, inputs: Sequence[Inputs]) -> None:
        self._left = iter(inputs)

    def get_next(self) -> dict | None:
        """The next, None at the end."""
        one = next(self._left, None)
        return None if one is None else dict(one)


def naive_dynamic(proto: onnx.ModelProto) -> onnx.ModelProto:
    """``quantize_dynamic`` with its defaults: weights int8 per tensor, activations as they come."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(proto, source)
        quantize_dynamic(source, target)
        return onnx.load(target)


def naive_static(proto: onnx.ModelProto, inputs: Sequence[Inputs], per_channel: bool) -> onnx.ModelProto:
    """``quantize_static`` as its guide says: prepared, QDQ, min-max; every operator that it knows."""
    with tempfile.TemporaryDirectory() as folder:
        source, ready, target = (Path(folder) / f"{name}.onnx" for name in ("float", "ready", "int8"))
        onnx.save(proto, source)
        quant_pre_process(source, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            target,
            Reader(inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=per_channel,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(target)
