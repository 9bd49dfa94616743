"""Cached values as bytes and back: msgpack, and an explicit list of arrays and dataclasses; never pickle.

It knows formats and checksums; it knows nothing about tiers. What is damaged or foreign reads as nothing.
"""

from __future__ import annotations

import struct
from dataclasses import fields
from typing import Any, NamedTuple

import msgpack
import numpy as np
import xxhash

from ..errors import SettingError
from ..runtime.answers import Answer, Grounding
from ..runtime.describing import Description
from ..runtime.fusion import Looked
from ..runtime.seeing import Seen
from ..runtime.similarity import Queries, Words
from .keys import Key

VERSION = 1
KINDS: dict[int, type[Any]] = {1: Grounding, 2: Answer, 3: Seen, 4: Looked, 5: Description, 6: Queries, 7: Words}
CODES = {kind: code for code, kind in KINDS.items()}
ARRAY = 0  # beside the kinds
DTYPES = {
    name.encode(): np.dtype(name)
    for name in ("|b1", "|u1", "|i1", "<u2", "<i2", "<f2", "<u4", "<i4", "<f4", "<u8", "<i8", "<f8")
}
ALIGNED = 16  # bytes that arrays and what is before them are multiples of
_HEAD = struct.Struct("<3sBd16sI")  # mark, version, when it expires, checksum, length of the msgpack part
_MARK = b"OAC"
_FACTS = struct.Struct("<dI")  # of the head, what the checksum is of
_ARRAY = struct.Struct("<3sQ")  # type and start of an array, before its shape
START = _HEAD.size

Packed = bytes | memoryview


class Entry(NamedTuple):
    """A value as tiers hold it: itself, not to be changed, and packed; good until ``expires``, seconds since 1970.

    Its arrays are views into ``packed`` and cannot be written to.
    """

    value: Any
    packed: Packed
    expires: float

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.packed)


def pack(key: Key, value: Any, expires: float) -> Entry:
    """A value for a key. SettingError for what cannot be cached.

    Values are None, booleans, numbers, texts, bytes, numpy arrays, the dataclasses of ``KINDS``, and tuples, lists and
    dictionaries of those; lists come back as tuples.
    """
    arrays = _Arrays()
    try:
        told = msgpack.packb(value, default=arrays.reduced, strict_types=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise SettingError(f"A {type(value).__name__} cannot be cached: {error}.") from error
    parts = [told, bytes(-(START + len(told)) % ALIGNED), *arrays.parts]
    packed = _sealed(key, b"".join(parts), len(told), expires)
    return Entry(_value(memoryview(packed), len(told)), packed, expires)


def unpack(key: Key, packed: Packed) -> Entry | None:
    """What was packed for this very key; None for what is damaged, of another format or of another key."""
    if len(packed) < START:
        return None
    view = memoryview(packed)
    mark, version, expires, checksum, length = _HEAD.unpack_from(view)
    if mark != _MARK or version != VERSION or checksum != _checksum(key, expires, length, view[START:]):
        return None
    try:
        value = _value(view, length)
    except (KeyError, TypeError, ValueError, struct.error, msgpack.UnpackException):
        return None  # made by this program, by its mark, and yet of another shape
    return Entry(value, packed, expires)


def renewed(key: Key, entry: Entry, expires: float) -> Entry:
    """The same value, good until another time."""
    length = _HEAD.unpack_from(entry.packed)[-1]
    return Entry(entry.value, _sealed(key, memoryview(entry.packed)[START:], length, expires), expires)


def _value(packed: memoryview, length: int) -> Any:
    """What is packed, of which so many bytes are told by msgpack; the arrays are behind it."""
    end = START + length
    arrays = packed[end + -end % ALIGNED :].toreadonly()
    return msgpack.unpackb(
        packed[START:end],
        ext_hook=lambda code, data: _restored(code, data, arrays),
        use_list=False,
        strict_map_key=False,
    )


def _sealed(key: Key, content: Packed, length: int, expires: float) -> bytes:
    checksum = _checksum(key, expires, length, content)
    return _HEAD.pack(_MARK, VERSION, expires, checksum, length) + content


def _checksum(key: Key, expires: float, length: int, content: Packed) -> bytes:
    """Of the key too: a value that a mix-up put under another key is none."""
    about = xxhash.xxh3_64_intdigest(key.text.encode() + b" " + _FACTS.pack(expires, length))
    return xxhash.xxh3_128_digest(content, about)


class _Arrays:
    """The arrays of one value, which are packed behind everything else."""

    def __init__(self) -> None:
        self.parts = list[bytes]()
        self._length = 0

    def reduced(self, value: Any) -> Any:
        """What msgpack does not know, as a list or an extension of it; an array leaves its numbers here."""
        if type(value) is tuple:
            return list(value)
        if isinstance(value, np.ndarray):
            return msgpack.ExtType(ARRAY, self._put(value))
        code = CODES.get(type(value))
        if code is None:
            raise TypeError(f"it holds a {type(value).__name__}")
        told = [getattr(value, field.name) for field in fields(value)]
        return msgpack.ExtType(code, msgpack.packb(told, default=self.reduced, strict_types=True))

    def _put(self, array: np.ndarray) -> bytes:
        """An array's type, how far behind the first array it begins, and its shape."""
        ordered = array.astype(array.dtype.newbyteorder("<"), copy=False)
        name = ordered.dtype.str.encode()
        if name not in DTYPES:
            raise TypeError(f"arrays of {array.dtype} are not kept")
        start = self._length
        filling = bytes(-ordered.nbytes % ALIGNED)
        self.parts += [ordered.tobytes(), filling]
        self._length += ordered.nbytes + len(filling)
        return _ARRAY.pack(name, start) + struct.pack(f"<{ordered.ndim}Q", *ordered.shape)


def _restored(code: int, data: bytes, content: memoryview) -> Any:
    """What ``_Arrays.reduced`` made an extension of; ``content``: the arrays, one behind the other."""
    if code == ARRAY:
        name, start = _ARRAY.unpack_from(data)
        shape = struct.unpack_from(f"<{(len(data) - _ARRAY.size) // 8}Q", data, _ARRAY.size)
        return np.ndarray(shape, DTYPES[name], content, start)
    told = msgpack.unpackb(data, ext_hook=lambda inner, more: _restored(inner, more, content), use_list=False)
    return KINDS[code](*told)
