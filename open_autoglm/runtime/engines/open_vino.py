"""Runs a graph with OpenVINO, which takes a graph only whole: the bundle's weights are put into it first.

It knows OpenVINO's settings and where its reading of ONNX is inexact; it knows nothing about the other engines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle, Graph
from open_autoglm.errors import EXTRAS, BundleError, MissingExtra
from open_autoglm.runtime.processor import lacks_vnni

from .joined import taken_apart
from .session import Arrays, first_line, shared_weights

EXTRA = "openvino"
SHAPES = 32  # input shapes whose compiled steps are kept; by default it is thousands


class OpenVinoSession:
    """A graph in OpenVINO on the CPU, computing in the graph's own precision."""

    def __init__(self, bundle: Bundle, graph: Graph, threads: int) -> None:
        path = bundle.path / graph.file
        try:
            model = core().read_model(whole(bundle, graph), b"")
            keep_antialiasing(model)
            self._compiled = core().compile_model(model, "CPU", settings(threads))
        except Exception as error:  # OpenVINO raises RuntimeError for nearly everything, protobuf its own classes
            raise BundleError(
                f"OpenVINO cannot load the graph {path} ({first_line(error)}); use the engine onnxruntime."
            ) from error
        self.names: Sequence[str] = tuple(output.get_any_name() for output in self._compiled.outputs)
        self._idle: list[Any] = []  # a request serves one call at a time, and holds the memory of one
        self._lock = Lock()

    @staticmethod
    def check() -> None:
        """Raises MissingExtra where it is not installed."""
        if any(find_spec(package) is None for package in EXTRAS[EXTRA]):
            raise MissingExtra("The engine openvino", EXTRA)

    def outputs(self, names: Sequence[str], inputs: Arrays) -> list[NDArray[Any]]:
        """As ``Session``."""
        with self._request() as request:
            request.infer(dict(inputs), share_inputs=True)
            return [np.array(request.get_tensor(name).data) for name in names]

    @contextmanager
    def _request(self) -> Iterator[Any]:
        with self._lock:
            request = self._idle.pop() if self._idle else self._compiled.create_infer_request()
        try:
            yield request
        finally:
            with self._lock:
                self._idle.append(request)


@cache
def core() -> Any:
    """The one that the whole process uses, to its end.

    Each ``Core`` gives the calling thread another stack for signal handlers, and puts the one before back when it goes.
    Of two that go in the order they came, the second puts back what is no longer there: the next signal that Python
    handles, a Ctrl-C, then ends the process.
    """
    import openvino

    return openvino.Core()


def settings(threads: int) -> dict[str, Any]:
    """How every graph is run."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        # float32 stays float32 where the processor would rather have bfloat16: parity was measured so.
        "INFERENCE_PRECISION_HINT": "f32",
        # Other work shares the cores: decoding, or a second model.
        "ENABLE_CPU_PINNING": False,
        "CPU_RUNTIME_CACHE_CAPACITY": SHAPES,
    }


def whole(bundle: Bundle, graph: Graph) -> bytes:
    """The graph's file with its weights put in, in steps of the standard."""
    import onnx

    proto = onnx.load(str(bundle.path / graph.file), load_external_data=False)
    shared = dict(shared_weights(bundle, graph))
    for initializer in proto.graph.initializer:
        if initializer.name in shared:
            filled = onnx.numpy_helper.from_array(shared.pop(initializer.name), initializer.name)
            initializer.CopyFrom(filled)
    if lacks_vnni():
        make_unsigned(proto)
    content: bytes = taken_apart(proto).SerializeToString()
    return content


def make_unsigned(proto: Any) -> None:
    """Writes int8 weights as uint8 with another zero: where there is no VNNI, sums of int8 are cut off at 16 bits."""
    from onnx import TensorProto, numpy_helper

    arrays = {initializer.name: initializer for initializer in proto.graph.initializer}
    zeros = dict[str, str]()
    for node in proto.graph.node:
        if node.op_type != "DequantizeLinear" or len(node.input) != 2 or node.input[0] not in arrays:
            continue
        weights = arrays[node.input[0]]
        if weights.data_type == TensorProto.INT8:
            values = (numpy_helper.to_array(weights).astype(np.int16) + 128).astype(np.uint8)
            weights.CopyFrom(numpy_helper.from_array(values, weights.name))
            zero = numpy_helper.from_array(np.full(arrays[node.input[1]].dims, 128, np.uint8), f"{weights.name}_zero")
            proto.graph.initializer.append(zero)
            zeros[weights.name] = zero.name
        if weights.name in zeros:
            node.input.append(zeros[weights.name])


def keep_antialiasing(model: Any) -> None:
    """Gives shrinking its low-pass filter back, which OpenVINO drops when it reads ONNX.

    It turns a linear Resize with ``antialias`` into a mode that has none; Pillow's, with the same filter, it has too.
    """
    from openvino import opset11 as ops

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Interpolate" or not node.get_attributes()["antialias"]:
            continue
        if node.get_attributes()["mode"] != "linear_onnx":
            raise ValueError(f"it resizes with an antialiased {node.get_attributes()['mode']}")
        height, width = (size.get_length() for size in list(node.get_output_partial_shape(0))[2:])
        pillow = ops.interpolate(
            node.input_value(0),
            ops.constant(np.array([height, width])),
            "bilinear_pillow",
            "sizes",
            axes=ops.constant(np.array([2, 3])),
        )
        node.output(0).replace(pillow.output(0))
