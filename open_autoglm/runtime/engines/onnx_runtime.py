"""Runs a graph with ONNX Runtime, which hands it the bundle's weights as they lie.

It knows ONNX Runtime's settings; it knows nothing about the other engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle, Graph
from open_autoglm.errors import BundleError

from .session import Arrays, first_line, shared_weights

# Microseconds that threads wait awake for more: a sentence's steps are shorter than it takes to wake one, and one that
# was woken may have to share the core of the one that waits for it, for milliseconds. By itself ONNX Runtime waits so
# long that it takes the cores from those which decode the next pictures.
AWAKE = 1000


class OnnxRuntimeSession:
    """A graph in ONNX Runtime on the CPU."""

    def __init__(self, bundle: Bundle, graph: Graph, threads: int) -> None:
        # ONNX Runtime borrows these arrays: they live as long as it.
        self._shared = {name: ort.OrtValue.ortvalue_from_numpy(one) for name, one in shared_weights(bundle, graph)}
        options = session_options(threads)
        if self._shared:
            options.add_external_initializers(list(self._shared), list(self._shared.values()))
        path = bundle.path / graph.file
        try:
            self._session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises its own, undocumented classes
            raise BundleError(f"The graph {path} cannot be loaded ({first_line(error)}); copy it again.") from error
        self.names: Sequence[str] = tuple(output.name for output in self._session.get_outputs())

    @staticmethod
    def check() -> None:
        """It is always installed."""

    def outputs(self, names: Sequence[str], inputs: Arrays) -> list[NDArray[Any]]:
        """As ``Session``."""
        results: list[NDArray[Any]] = self._session.run(list(names), dict(inputs))
        return results


def session_options(threads: int) -> ort.SessionOptions:
    """How every graph is run."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(AWAKE))
    # A plan for every shape that ever came would be kept, which texts have many of, and saves nothing measurable. The
    # arena stays: it is as large as the largest batch, and without it a batch of pictures spends a third of its time
    # on getting its memory from the system again.
    options.enable_mem_pattern = False
    return options
