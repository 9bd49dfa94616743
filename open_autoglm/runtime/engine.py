"""A bundle's graph, ready to run on one of the engines.

It knows graphs and cores; it knows nothing about pictures, texts or what the numbers mean, nor how an engine works.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle, Graph

from .engines import DEFAULT, make_session


class Engine:
    """A graph ready to run; safe to call from several threads.

    ``threads``: how many cores one call may use; None takes all there are. ``kind``: one of ``engines.ENGINES``.
    Raises BundleError for a graph that cannot be loaded, SettingError for an unknown kind, MissingExtra for one that
    is not installed.
    """

    def __init__(self, bundle: Bundle, graph: Graph, threads: int | None = None, kind: str = DEFAULT) -> None:
        self._session = make_session(kind, bundle, graph, threads or available_cores())

    def run(self, **inputs: NDArray[Any]) -> NDArray[np.float32]:
        """The graph's first output."""
        return self.outputs(self._session.names[:1], **inputs)[0]

    def outputs(self, names: Sequence[str], **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Outputs by their names."""
        return self._session.outputs(names, inputs)


def available_cores() -> int:
    """The cores this process may use; where the system cannot say which, all there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
