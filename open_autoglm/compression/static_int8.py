"""A picture graph in int8, calibrated on real inputs, that keeps a wanted cosine: what must stays in float.

It knows float graphs, their inputs and their outputs' directions; it knows nothing about bundles or files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray

from open_autoglm.errors import SettingError
from open_autoglm.runtime.engine import available_cores
from open_autoglm.runtime.engines.onnx_runtime import open_session

from .correction import bias_shifts, corrected
from .pixel_input import pixel_input, take_bytes
from .qdq import Ranges, convolutions, plan, write_qdq
from .ranges import Inputs, RangeSettings, activation_ranges

Floats = NDArray[np.float32]
Writer = Callable[[Collection[str]], onnx.ModelProto]  # the graph in int8 but for the layers named

FEW = 4  # inputs that one layer's harm is told by: an order is wanted, not a figure


@dataclass(frozen=True)
class StaticSettings:
    """How a graph is quantised.

    - ``ranges``: how activations' ranges follow from the calibration.
    - ``correct_bias``: make up for the mean error of int8 weights.
    - ``least_cosine``: the mean cosine to the float graph that is to be kept; layers stay in float until it is.
    - ``most_float``: the largest share of the layers that may stay in float.
    """

    ranges: RangeSettings = field(default_factory=RangeSettings)
    correct_bias: bool = True
    least_cosine: float = 0.98
    most_float: float = 0.25

    def __post_init__(self) -> None:
        for name in ("least_cosine", "most_float"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(f"{name} is {getattr(self, name)!r}: it must be from 0 to 1.")


@dataclass(frozen=True)
class Quantised:
    """An int8 graph with its weights inside; ``left``: the layers in float; the cosine on the pictures it was made by.

    The cosine may be below what was asked for, where ``most_float`` was reached first.
    """

    proto: onnx.ModelProto
    left: tuple[str, ...]
    cosine: float


def static_int8(proto: onnx.ModelProto, inputs: Sequence[Inputs], settings: StaticSettings) -> Quantised:
    """A folded float graph in int8, as fast as its cosine allows.

    ``inputs``: what to calibrate with, each one run of the graph. Raises SettingError where there is none, BundleError
    where the graph does not take them or has nothing to quantise.
    """
    whole = plan(proto.graph)
    pixels = pixel_input(proto.graph)
    ranges: Ranges = activation_ranges(proto, whole.tensors, inputs, settings.ranges)
    shifts = bias_shifts(proto, inputs) if settings.correct_bias else {}
    if pixels is not None:
        ranges = {**ranges, **{name: found for name, found in pixels.ranges.items() if name in ranges}}

    def write(leave: Collection[str]) -> onnx.ModelProto:
        made = write_qdq(corrected(proto, shifts, leave), plan(proto.graph, leave), ranges)
        if pixels is not None:
            take_bytes(made, pixels)
        return made

    wanted = outputs_of(proto, inputs)
    made = write(())
    cosine = mean_cosine(wanted, outputs_of(made, inputs))
    if cosine >= settings.least_cosine:
        return Quantised(made, (), cosine)
    layers = by_harm(write, wanted, inputs, layers_of(proto.graph))
    return fewest_left(write, wanted, inputs, layers, settings)


def layers_of(graph: onnx.GraphProto) -> list[str]:
    """The convolutions' weights, each once: a layer that runs at several sizes is one layer."""
    return list(dict.fromkeys(node.input[1] for node in convolutions(graph)))


def by_harm(write: Writer, wanted: Sequence[Floats], inputs: Sequence[Inputs], layers: Sequence[str]) -> list[str]:
    """The layers, first the one that costs most when it alone is in int8."""
    alone = {}
    for layer in layers:
        made = write([other for other in layers if other != layer])
        alone[layer] = mean_cosine(wanted[:FEW], outputs_of(made, inputs[:FEW]))
    return sorted(layers, key=lambda layer: alone[layer])


def fewest_left(
    write: Writer, wanted: Sequence[Floats], inputs: Sequence[Inputs], layers: Sequence[str], settings: StaticSettings
) -> Quantised:
    """The graph with the fewest of the layers, taken in order, in float that keeps the cosine; else the best there is.

    More layers in float are taken to keep more, so that halving finds the number.
    """
    few, many = 0, max(1, int(settings.most_float * len(layers)))
    best = quantised_but(write, wanted, inputs, layers[:many])
    while best.cosine >= settings.least_cosine and many - few > 1:
        middle = (few + many) // 2
        tried = quantised_but(write, wanted, inputs, layers[:middle])
        if tried.cosine >= settings.least_cosine:
            best, many = tried, middle
        else:
            few = middle
    return best


def quantised_but(write: Writer, wanted: Sequence[Floats], inputs: Sequence[Inputs], left: Sequence[str]) -> Quantised:
    """The graph with these layers in float, measured."""
    made = write(left)
    return Quantised(made, tuple(left), mean_cosine(wanted, outputs_of(made, inputs)))


def outputs_of(proto: onnx.ModelProto, inputs: Sequence[Inputs]) -> list[Floats]:
    """The first output of a graph for each of the inputs."""
    session = open_session(proto.SerializeToString(), available_cores())
    return [session.run(None, dict(one))[0] for one in inputs]


def mean_cosine(wanted: Sequence[Floats], got: Sequence[Floats]) -> float:
    """The mean cosine of the vectors [..., d] of two graphs."""
    return float(np.mean(np.concatenate([cosines(one, other) for one, other in zip(wanted, got, strict=True)])))


def cosines(wanted: Floats, got: Floats) -> Floats:
    """The cosine of every vector of [..., d] with its counterpart, flat; vectors of zeros in both are alike."""
    products = (wanted * got).sum(axis=-1)
    lengths = np.linalg.norm(wanted, axis=-1) * np.linalg.norm(got, axis=-1)
    found: Floats = np.where(
        lengths > 0, products / np.maximum(lengths, 1e-12), wanted.any(axis=-1) == got.any(axis=-1)
    )
    return found.reshape(-1)
