"""Frames between this process and its workers: msgpack, with arrays, answers and errors as named extensions.

It knows formats; it knows nothing of processes. What it reads can only become one of the kinds it lists.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, BinaryIO

import msgpack
import numpy as np

from ... import errors
from ...cache.codec import KINDS
from ..work import (
    Ask,
    Classify,
    Describe,
    EmbedImage,
    EmbedQuery,
    EmbedText,
    EmbedViews,
    Ground,
    Match,
    RunGraph,
)
from .running import Batch, Done, ModelFailed, Ran

_TASKS = (EmbedImage, EmbedViews, EmbedText, EmbedQuery, Ask, Ground, Classify, Match, Describe, RunGraph)
_CODES = {kind: code for code, kind in KINDS.items()}
_ARRAY, _ERROR = 126, 127
READY, FAILED = "ready", "failed"  # what a worker says first
_HEAD = struct.Struct("<Q")
_ALIGNED = 32


def packed(value: Any) -> tuple[bytes, bytes]:
    """A value as a frame: its length, and msgpack; apart, because joining them would copy what may be large."""
    content = msgpack.packb(value, default=_reduced, strict_types=True)
    return _HEAD.pack(len(content)), content


def told_batch(batch: Batch) -> Any:
    """A batch in plain lists, in which pictures are copied but once."""
    tasks = [[_TASKS.index(type(task)), *(getattr(task, one.name) for one in fields(task))] for task in batch.tasks]
    return [batch.model, batch.alone, tasks]


def as_batch(told: Any) -> Batch:
    """What ``told_batch`` made plain."""
    model, alone, tasks = told
    return Batch(model, tuple(_TASKS[kind](*inner) for kind, *inner in tasks), alone)


def told_done(done: Done, memory: int) -> Any:
    """A finished batch in plain lists, and the bytes that the process holds. The values are packed one by one."""
    results = []
    for ran in done.results:
        started = time.perf_counter()
        value = msgpack.packb(ran.value, default=_reduced, strict_types=True)
        results.append([value, ran.error, {**ran.stages, "encode": time.perf_counter() - started}])
    return [results, done.seconds, memory]


def as_done(told: Any) -> tuple[Done, int]:
    """What ``told_done`` made plain."""
    results, seconds, memory = told
    return Done([Ran(unpacked(value), error, stages) for value, error, stages in results], seconds), memory


def unpacked(content: bytes | memoryview) -> Any:
    """What a frame held, without its length; arrays are views into what was read and cannot be written to."""
    return msgpack.unpackb(content, ext_hook=_restored, use_list=False, strict_map_key=False)


def read(file: BinaryIO) -> Any:
    """The next frame's value from a blocking stream. EOFError at its end."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise EOFError
    length = _HEAD.unpack(head)[0]
    content = file.read(length)
    if len(content) < length:
        raise EOFError
    return unpacked(content)


class Frames:
    """Frames out of pieces of a stream, as they come."""

    def __init__(self) -> None:
        self._parts = bytearray()

    def feed(self, piece: bytes) -> Iterator[Any]:
        """The values of all frames that are whole now."""
        self._parts += piece
        while len(self._parts) >= _HEAD.size:
            end = _HEAD.size + _HEAD.unpack_from(self._parts)[0]
            if len(self._parts) < end:
                return
            content = bytes(memoryview(self._parts)[_HEAD.size : end])
            del self._parts[:end]
            yield unpacked(content)


def _reduced(value: Any) -> Any:
    if type(value) is tuple:
        return list(value)
    if isinstance(value, np.ndarray):
        return msgpack.ExtType(_ARRAY, _array(value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Exception):
        return msgpack.ExtType(_ERROR, msgpack.packb([type(value).__name__, str(value)]))
    code = _CODES.get(type(value))
    if code is None:
        raise TypeError(f"a {type(value).__name__} cannot be sent")
    told = [getattr(value, field.name) for field in fields(value)]
    return msgpack.ExtType(code, msgpack.packb(told, default=_reduced, strict_types=True))


def _restored(code: int, data: bytes) -> Any:
    if code == _ARRAY:
        return _as_array(data)
    told = msgpack.unpackb(data, ext_hook=_restored, use_list=False, strict_map_key=False)
    return _as_error(*told) if code == _ERROR else KINDS[code](*told)


def _array(array: np.ndarray) -> bytes:
    """Its type and shape as msgpack, filled up so that the numbers behind it are aligned, and these."""
    if array.dtype.hasobject:
        raise TypeError("an array of objects cannot be sent")
    told: bytes = msgpack.packb([array.dtype.str, list(array.shape)])
    head = struct.pack("<I", len(told)) + told
    return head + bytes(-len(head) % _ALIGNED) + array.tobytes()


def _as_array(data: bytes) -> np.ndarray:
    (length,) = struct.unpack_from("<I", data)
    kind, shape = msgpack.unpackb(data[4 : 4 + length])
    start = 4 + length + -(4 + length) % _ALIGNED
    return np.frombuffer(data, np.dtype(kind), offset=start).reshape(shape)


def _as_error(name: str, message: str) -> Exception:
    """One of this package's errors, by its name; anything else is what nobody foresaw."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, errors.OpenAutoGLMError) and kind is not errors.MissingExtra:
        return kind(message)
    return errors.OpenAutoGLMError(message) if name == "MissingExtra" else ModelFailed()
