"""Open-AutoGLM: find, understand and rank pictures and text with one small model you own.

Importing this package is cheap: each name is loaded when first used, and none of them needs PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .runtime.model import Model, load
    from .search import Hit, Index

__version__ = "0.1.0"
__all__ = ["Hit", "Index", "Model", "__version__", "load"]

_HOMES = {"Model": ".runtime.model", "load": ".runtime.model", "Index": ".search", "Hit": ".search"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
