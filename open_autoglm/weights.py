"""The tensors of a bundle, stored once for training and runtime alike in ``model.safetensors``.

Packed, a matrix lies as int8 with one scale a row, a convolution as float16, a vector as float32; everything comes
back as float32. It knows nothing about models or graphs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .errors import BundleError

SCALE = ".scale"
PACKED = {"packing": "int8 rows"}


class Weights:
    """Reads ``model.safetensors`` a tensor at a time; the file is mapped, not loaded."""

    def __init__(self, path: Path) -> None:
        try:
            file: Any = safe_open(path, framework="numpy")
        except (OSError, SafetensorError) as error:
            raise BundleError(f"{path} cannot be read as safetensors: {error}; copy the bundle again.") from error
        self._file = file
        self._path = path
        self._names = frozenset(file.keys())
        self.packed = (file.metadata() or {}).get("packing") == PACKED["packing"]

    def __iter__(self) -> Iterator[str]:
        return (name for name in sorted(self._names) if not self._is_scale(name))

    def stored(self, name: str) -> NDArray[Any]:
        """The tensor as it lies in the file, of whatever dtype."""
        if name not in self._names:
            raise BundleError(f"{self._path.name} has no tensor {name}; copy the bundle again.")
        tensor: NDArray[Any] = self._file.get_tensor(name)
        return tensor

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape, without reading it."""
        if name not in self._names:
            raise BundleError(f"{self._path.name} has no tensor {name}; copy the bundle again.")
        return tuple(self._file.get_slice(name).get_shape())

    def float32(self, name: str) -> NDArray[np.float32]:
        """The tensor as float32, unpacked."""
        tensor = self.stored(name)
        if name + SCALE not in self._names:
            return tensor.astype(np.float32, copy=False)
        values: NDArray[np.float32] = tensor.astype(np.float32)
        values *= self.stored(name + SCALE)[:, None]
        return values

    def parts(self, name: str) -> dict[str, NDArray[Any]]:
        """The tensor as it lies in the file, with the scales of a packed one."""
        names = [name, name + SCALE] if self.packed and name + SCALE in self._names else [name]
        return {part: self.stored(part) for part in names}

    def _is_scale(self, name: str) -> bool:
        return self.packed and name.endswith(SCALE) and name.removesuffix(SCALE) in self._names


def pack_rows(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix [r, c] as int8 and one scale a row [r], symmetric about zero."""
    scale = np.abs(matrix).max(axis=1) / np.float32(127)
    scale[scale == 0] = 1
    values: NDArray[np.int8] = np.rint(matrix / scale[:, None]).astype(np.int8)
    return values, scale.astype(np.float32)


def write_weights(path: Path, state: Mapping[str, NDArray[np.float32]], packed: bool) -> None:
    """Writes tensors to ``path``; ``packed`` costs about half a percent of a matrix's precision and saves 3/4.

    Raises BundleError where the disk does not take them.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for name, tensor in state.items():
        if packed and tensor.ndim == 2:
            tensors[name], tensors[name + SCALE] = pack_rows(tensor)
        elif packed and tensor.ndim > 2:
            tensors[name] = tensor.astype(np.float16)
        else:
            tensors[name] = np.asarray(tensor, order="C")  # ascontiguousarray would give a scalar a dimension
    write_stored(path, tensors, packed)


def write_stored(path: Path, tensors: Mapping[str, NDArray[Any]], packed: bool = False) -> None:
    """Writes tensors as they are; ``packed`` says that some are int8 rows with their scales.

    Raises BundleError where the disk does not take them.
    """
    try:
        save_file(dict(tensors), path, metadata={"format": "pt", **(PACKED if packed else {})})
    except SafetensorError as error:  # a full disk comes as one
        raise BundleError(f"{path.name} cannot be written: {error}.") from error
    settle_header(path)
    path.chmod(0o644)  # safetensors lets nobody else read it, and a bundle is copied and served


def settle_header(path: Path) -> None:
    """Sorts the file's metadata, which safetensors writes in an order of chance: equal tensors make equal files."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        file.seek(8)
        file.write(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(length))
