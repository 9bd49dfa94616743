"""Runs a graph with ONNX Runtime, which hands it the bundle's weights as they lie.

It knows ONNX Runtime's settings; it knows nothing about the other engines.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
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
CUT_OFF = (
    "This processor has no VNNI, and a graph in int8 uses one weight in several places: its sums are cut off at 16 "
    "bits, and its results are worse than its bundle says. Quantise the float bundle again."
)
QUANTISES = b"QuantizeLinear"  # the operations that make integers of floats, QuantizeLinear and DynamicQuantizeLinear


class OnnxRuntimeSession:
    """A graph in ONNX Runtime on the CPU."""

    def __init__(self, bundle: Bundle, graph: Graph, threads: int) -> None:
        # ONNX Runtime borrows these arrays: they live as long as it.
        self._shared = {name: ort.OrtValue.ortvalue_from_numpy(one) for name, one in shared_weights(bundle, graph)}
        path = bundle.path / graph.file
        try:
            self._session = open_session(path.read_bytes(), threads, self._shared)
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


def open_session(graph: bytes, threads: int, weights: Mapping[str, ort.OrtValue] | None = None) -> ort.InferenceSession:
    """A graph's file as every graph is run; ``weights``: those of its weights that lie outside of it."""
    # Where there is no VNNI, sums of int8 products would be cut off at 16 bits: weights become uint8, and sums exact.
    # Weights that are made float again would be harmed by that; a graph that has no others quantises nothing.
    if QUANTISES not in graph:
        return session(graph, threads, weights, exact=False)
    try:
        return session(graph, threads, weights, exact=True)
    except Exception:  # ONNX Runtime raises its own, undocumented classes; it cannot do so twice under one name
        opened = session(graph, threads, weights, exact=False)
        warnings.warn(CUT_OFF, RuntimeWarning, stacklevel=2)
        return opened


def session(
    graph: bytes, threads: int, weights: Mapping[str, ort.OrtValue] | None, *, exact: bool
) -> ort.InferenceSession:
    """A graph's file, loaded; ``exact``: with sums of int8 products that are never cut off."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4 if exact else 3
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(AWAKE))
    # A plan for every shape that ever came would be kept, which texts have many of, and saves nothing measurable. The
    # arena stays: it is as large as the largest batch, and without it a batch of pictures spends a third of its time
    # on getting its memory from the system again.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.x64quantprecision", str(int(exact)))
    # Weights that are only stored in int8 are made float once; with this on they would be for each run.
    options.add_session_config_entry("session.disable_quant_qdq", str(int(QUANTISES not in graph)))
    if weights:
        options.add_external_initializers(list(weights), list(weights.values()))
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
