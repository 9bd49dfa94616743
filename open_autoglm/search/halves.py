"""Vectors as they are stored, in half precision, and as they are compared, in single precision.

It knows numbers alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]

# Both formats have the sign first, then the exponent, which counts from 15 in one and from 127 in the other.
NARROWER = 13  # bits by which the fraction of a half is
SIGN_AND_REST = np.int32(~0x70000000)
HIGHER = np.float32(2.0**112)


def as_floats(halves: Halves) -> Floats:
    """The same numbers in float32, all of them finite; ``astype`` goes one by one.

    The bits are moved to where they belong, and the exponent is put right by a multiplication (IEEE 754).
    """
    floats = _moved(halves)
    floats *= HIGHER
    return floats


def products(halves: Halves, vectors: Floats) -> Floats:
    """The inner products [q, n] of vectors in half precision [q, n, d] with one each in single precision [q, d].

    The exponents are put right in the ``vectors``, of which there are fewer.
    """
    scores: Floats = np.matmul(_moved(halves), (vectors * HIGHER)[:, :, None])[:, :, 0]
    return scores


def _moved(halves: Halves) -> Floats:
    """The bits where float32 has them: the numbers, but for the exponent."""
    bits = halves.view(np.int16).astype(np.int32)
    bits <<= NARROWER
    bits &= SIGN_AND_REST  # widening has repeated the sign
    return bits.view(np.float32)
