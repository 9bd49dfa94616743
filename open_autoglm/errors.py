"""Every exception Open-AutoGLM raises on purpose; each message is one sentence: what was wrong, where, what to do.

OpenAutoGLMError
├── BundleError          a model directory that is missing, damaged, foreign or newer than this program
├── ImageError           a picture that cannot be used
├── TextError            a sentence that cannot be used
├── DataError            training data that is missing, unreadable, or has too many rows that cannot be used
├── TrainingError        a training that cannot go on
├── IndexStoreError      an index that is missing, damaged, busy or cannot be written
│   └── SpaceMismatch    an index made by a model of another embedding space
├── PictureNotFound      an id that the index does not hold
├── FilterError          a ``where`` expression that cannot be understood
├── SettingError         an argument or setting out of range
└── MissingExtra         a feature whose optional packages are not installed
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

EXTRAS = {
    "access": ("cryptography", "jwt", "limits", "regopy"),
    "cache": ("msgpack", "xxhash"),
    "cluster": ("lance", "pyarrow", "ray"),
    "graph": ("faiss",),
    "openvino": ("onnx", "openvino"),
    "ray": ("aiohttp", "grpc", "ray"),
    "redis": ("redis",),
    "serve": (
        "fastapi",
        "httptools",
        "httpx",
        "multipart",
        "prometheus_client",
        "psutil",
        "python_multipart",
        "structlog",
        "uvicorn",
    ),
    "train": (
        "accelerate",
        "datasets",
        "jinja2",
        "onnx",
        "onnxscript",
        "pyarrow",
        "scipy",
        "torch",
        "transformers",
        "yaml",
    ),
    "traces": ("opentelemetry", "opentelemetry.exporter", "opentelemetry.sdk"),
}


class OpenAutoGLMError(Exception):
    """The root: catch it to catch every mistake a user can correct."""


class BundleError(OpenAutoGLMError):
    """A model directory that is missing, damaged, foreign or newer than this program."""


class ImageError(OpenAutoGLMError):
    """A picture that cannot be used: unreadable, damaged, too large, or not a picture."""


class TextError(OpenAutoGLMError):
    """A sentence that cannot be used: empty, or not text."""


class DataError(OpenAutoGLMError):
    """Training data that is missing, unreadable, or has too many rows that cannot be used."""


class TrainingError(OpenAutoGLMError):
    """A training that cannot go on: a loss that is not a number, a checkpoint of another recipe, a full disk."""


class IndexStoreError(OpenAutoGLMError):
    """An index that is missing, damaged, busy or cannot be written."""


class SpaceMismatch(IndexStoreError):
    """An index whose vectors were made by a model of another embedding space."""


class PictureNotFound(OpenAutoGLMError):
    """An id that the index does not hold."""


class FilterError(OpenAutoGLMError):
    """A ``where`` expression that cannot be understood."""


class SettingError(OpenAutoGLMError):
    """An argument or setting out of range."""


class MissingExtra(OpenAutoGLMError):
    """A feature whose optional packages are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs more packages: in the folder of Open-AutoGLM, run "
            f"pip install -c constraints.txt -e '.[{extra}]'."
        )


@contextmanager
def needing(feature: str, extra: str) -> Iterator[None]:
    """For imports: a package of the extra that is not installed raises MissingExtra; other faults stay as they are."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS[extra]:
            raise
        raise MissingExtra(feature, extra) from error
