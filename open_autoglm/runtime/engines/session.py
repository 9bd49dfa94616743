"""What every engine makes of a graph: something that takes named arrays and gives named arrays.

It knows how a bundle keeps a graph's weights; it knows nothing about any engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle, Graph, SharedTensor
from open_autoglm.weights import Weights

Arrays = Mapping[str, NDArray[Any]]


class Session(Protocol):
    """A loaded graph; safe to call from several threads, and holding no more memory after many shapes than after one.

    ``names``: its outputs, in the graph's order.
    """

    @property
    def names(self) -> Sequence[str]: ...

    def outputs(self, names: Sequence[str], inputs: Arrays) -> list[NDArray[Any]]:
        """Outputs by their names; the arrays are the caller's own."""
        ...


def shared_weights(bundle: Bundle, graph: Graph) -> Iterator[tuple[str, NDArray[Any]]]:
    """The graph's weights that lie in the bundle's tensors, by the graph's own names."""
    return ((name, shared_tensor(bundle.tensors(shared.file), shared)) for name, shared in graph.weights.items())


def shared_tensor(weights: Weights, shared: SharedTensor) -> NDArray[Any]:
    """One tensor in the dtype and orientation that the graph expects."""
    tensor = weights.stored(shared.tensor) if shared.stored else weights.float32(shared.tensor)
    return np.ascontiguousarray(tensor.T if shared.transpose else tensor)


def first_line(error: Exception) -> str:
    """The first line of an exception's message, cut to a readable length."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
