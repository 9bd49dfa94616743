"""Runs one exported graph with ONNX Runtime.

It knows a bundle's graphs and tensors; it knows nothing about pictures, texts or what the numbers mean.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle, Graph, SharedTensor
from open_autoglm.errors import BundleError
from open_autoglm.weights import Weights


class Engine:
    """A graph ready to run; safe to call from several threads.

    ``threads``: how many cores one call may use; None takes all there are.
    """

    def __init__(self, bundle: Bundle, graph: Graph, threads: int | None = None) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or available_cores()
        options.log_severity_level = 3
        # Waiting threads must not burn the cores that decode the next pictures.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._shared = shared_weights(bundle, graph)  # ONNX Runtime borrows these arrays: they live as long as it
        if self._shared:
            options.add_external_initializers(list(self._shared), list(self._shared.values()))
        path = bundle.path / graph.file
        try:
            self._session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises its own, undocumented classes
            raise BundleError(f"The graph {path} cannot be loaded ({first_line(error)}); copy it again.") from error
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, **inputs: NDArray[Any]) -> NDArray[np.float32]:
        """The graph's first output."""
        return self.outputs(self._outputs[:1], **inputs)[0]

    def outputs(self, names: Sequence[str], **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Outputs by their names."""
        results: list[NDArray[np.float32]] = self._session.run(list(names), inputs)
        return results


def available_cores() -> int:
    """The cores this process may use; where the system cannot say which, all there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def shared_weights(bundle: Bundle, graph: Graph) -> Mapping[str, ort.OrtValue]:
    """The graph's weights that lie in the bundle's tensors, by the graph's own names."""
    return {
        name: ort.OrtValue.ortvalue_from_numpy(shared_tensor(bundle.tensors(shared.file), shared))
        for name, shared in graph.weights.items()
    }


def shared_tensor(weights: Weights, shared: SharedTensor) -> NDArray[Any]:
    """One tensor in the dtype and orientation that the graph expects."""
    tensor = weights.stored(shared.tensor) if shared.stored else weights.float32(shared.tensor)
    return np.ascontiguousarray(tensor.T if shared.transpose else tensor)


def first_line(error: Exception) -> str:
    """The first line of an exception's message, cut to a readable length."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
