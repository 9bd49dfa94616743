"""Finds pictures that look the same: equal bytes, or another size, crop by a hair, or compression of one picture.

It knows pixels; it knows nothing about splits or captions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from open_autoglm.data.pictures import digest, source_of
from open_autoglm.data.records import Record
from open_autoglm.errors import ImageError
from open_autoglm.runtime.decoding import open_picture
from open_autoglm.runtime.images import ImageLimits

_SIDE = 8  # of the thumbnail, and of the hash: 8 x 8 differences between neighbours are 64 bits
_DECODED = 72  # pixels; smaller, a JPEG read at reduced size and its PNG copy come out too different
_STEP = 2.0  # levels of 255; less is noise, which would make plain areas of equal pictures differ
_BITS = 7  # of 64 in which the hashes of one picture may differ
_BANDS = tuple(zip(range(0, 63, 7), (*range(7, 63, 7), 64), strict=True))  # 9, so that 7 bits spoil all but two
_CORRELATION = 0.97  # of the thumbnails of one picture
_PLAIN = 3.0  # levels; below this spread a thumbnail has nothing to correlate, and the levels themselves count
_NEIGHBOURS = 128  # how many with the same two bands are compared, in the order of brightness
_ONES = np.array([value.bit_count() for value in range(2**16)], np.uint8)


@dataclass(frozen=True)
class Looks:
    """How n pictures look: ``digests`` of their bytes ("" where unreadable), ``hashes`` uint64 [n],
    ``thumbnails`` float32 [n, 192] RGB in 0..255, and why a picture could not be read, by its index."""

    digests: tuple[str, ...]
    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.float32]
    failures: dict[int, str]


def look(
    records: Sequence[Record], limits: ImageLimits | None = None, progress: Callable[[int], None] | None = None
) -> Looks:
    """Decodes every picture once, JPEGs at an eighth of their size; about a millisecond each."""
    count = len(records)
    hashes, thumbnails = np.zeros(count, np.uint64), np.zeros((count, 3 * _SIDE**2), np.float32)
    digests, failures = [""] * count, dict[int, str]()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for index, seen in enumerate(pool.map(lambda record: _look(record, limits or ImageLimits()), records)):
            if isinstance(seen, str):
                failures[index] = seen
            else:
                digests[index], hashes[index], thumbnails[index] = seen
            if progress:
                progress(index + 1)
    return Looks(tuple(digests), hashes, thumbnails, failures)


def alike(looks: Looks) -> NDArray[np.int64]:
    """Index pairs [m, 2], the lower first, that join all readable pictures that look the same into groups.

    Difference hashes of 64 bits at most 7 bits apart (Krawetz, "Kind of Like That", 2013) propose a pair, a small
    colour thumbnail confirms it. Two such hashes agree in two of nine bands at least, so only pictures that do are
    compared, and of very many alike only the next 128 in brightness: 100,000 pictures take seconds.
    """
    readable = np.flatnonzero([bool(digest) for digest in looks.digests])
    if len(readable) < 2:
        return np.zeros((0, 2), np.int64)
    light = looks.thumbnails.mean(axis=1)
    confirmed = _Confirmation(looks.thumbnails)
    hashes, first = np.unique(looks.hashes[readable], return_index=True)
    found = [confirmed(pairs) for pairs in _meeting(looks.hashes[readable], light[readable], readable)]
    # Equal hashes are joined by now: one of each stands for them below.
    stand = readable[first]
    for one, other in combinations(_BANDS, 2):
        keys = (_band(hashes, one) << np.uint64(8)) | _band(hashes, other)
        for pairs in _meeting(keys, light[stand], stand):
            near = _distance(looks.hashes[pairs[:, 0]], looks.hashes[pairs[:, 1]]) <= _BITS
            found.append(confirmed(pairs[near]))
    return np.unique(np.sort(np.concatenate(found or [np.zeros((0, 2), np.int64)]), axis=1), axis=0)


def _look(record: Record, limits: ImageLimits) -> tuple[str, np.uint64, NDArray[np.float32]] | str:
    try:
        opened = open_picture(source_of(record.picture, limits), limits)
        image = opened.pixels(_DECODED)
    except ImageError as error:
        return str(error)
    grey = np.asarray(image.convert("F").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX))
    bits = (np.diff(grey, axis=1) > _STEP).reshape(-1)
    colours = np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32).reshape(-1)
    return digest(opened.data or b""), np.packbits(bits).view(np.uint64)[0], colours


def _meeting(
    keys: NDArray[np.uint64], light: NDArray[np.float32], indices: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """Pairs [m, 2] of indices with one key: neighbours in brightness first, then every second, and so on."""
    order = np.lexsort((light, keys))
    keys, indices = keys[order], indices[order]
    at = np.arange(len(keys))
    for step in range(1, min(_NEIGHBOURS, len(keys) - 1) + 1):
        at = at[at + step < len(keys)]
        at = at[keys[at] == keys[at + step]]
        if not len(at):
            return
        yield np.stack([indices[at], indices[at + step]], axis=1)


def _band(hashes: NDArray[np.uint64], band: tuple[int, int]) -> NDArray[np.uint64]:
    start, end = band
    return (hashes >> np.uint64(start)) & np.uint64(2 ** (end - start) - 1)


def _distance(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Bits in which the hashes differ."""
    return _ONES[(one ^ other).view(np.uint16)].reshape(-1, 4).sum(axis=1, dtype=np.int64)


class _Confirmation:
    """Whether the thumbnails of a pair tell the same, in shape and in colour."""

    def __init__(self, thumbnails: NDArray[np.float32]) -> None:
        self._levels = thumbnails
        pixels = thumbnails.reshape(len(thumbnails), -1, 3)
        # Without each channel's mean nothing is left of a plain picture, whatever its colour.
        shape = (pixels - pixels.mean(axis=1, keepdims=True)).reshape(thumbnails.shape)
        self._plain = shape.std(axis=1) < _PLAIN
        self._shape = _unit(shape)
        self._whole = _unit(thumbnails - thumbnails.mean(axis=1, keepdims=True))

    def __call__(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of ``pairs`` [m, 2] that do."""
        kept = [np.zeros((0, 2), np.int64)]
        for start in range(0, len(pairs), 2**14):  # thumbnails of many pairs at once would fill memory
            part = pairs[start : start + 2**14]
            one, other = part[:, 0], part[:, 1]
            same = np.einsum("mc,mc->m", self._shape[one], self._shape[other]) >= _CORRELATION
            same &= np.einsum("mc,mc->m", self._whole[one], self._whole[other]) >= _CORRELATION
            plain = self._plain[one] | self._plain[other]
            same[plain] = np.abs(self._levels[one[plain]] - self._levels[other[plain]]).mean(axis=1) < _PLAIN
            kept.append(part[same])
        return np.concatenate(kept)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
