"""What can run a bundle's graphs: a file an engine, and this table of them.

They know graphs and tensors; they know nothing about pictures, texts or what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from open_autoglm.bundle import Bundle, Graph
from open_autoglm.errors import SettingError

from .onnx_runtime import OnnxRuntimeSession
from .open_vino import OpenVinoSession
from .session import Session

__all__ = ["DEFAULT", "ENGINES", "Session", "check_engine", "make_session"]

DEFAULT = "onnxruntime"
ENGINES: Mapping[str, Any] = {DEFAULT: OnnxRuntimeSession, "openvino": OpenVinoSession}
"""By name; each is made of a bundle, one of its graphs and a number of threads, and says whether it is installed."""


def check_engine(name: str) -> str:
    """The name of an engine that is installed; SettingError for an unknown one, MissingExtra for one that is not."""
    if name not in ENGINES:
        raise SettingError(f"There is no engine {name!r}; there are {', '.join(ENGINES)}.")
    ENGINES[name].check()
    return name


def make_session(name: str, bundle: Bundle, graph: Graph, threads: int) -> Session:
    """The graph, loaded. BundleError where it cannot be; SettingError and MissingExtra as ``check_engine``."""
    session: Session = ENGINES[check_engine(name)](bundle, graph, threads)
    return session
