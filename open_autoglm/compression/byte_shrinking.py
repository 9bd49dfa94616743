"""Shrinks pictures of bytes by convolutions: what Resize does with a low-pass filter, exact in int8.

Along an axis from ``p`` pixels to ``q``, in lowest terms, the triangle filter is the same for every ``q``-th pixel, and
its weights are whole numbers over their sum. Engines have kernels for convolutions of bytes, in the layout that pixels
come in, and none for such a Resize. It knows nothing about where a graph resizes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper

Size = tuple[int, int]  # height and width
Whole = NDArray[np.int64]
CHANNELS = 3
BLOCK = 16  # pixels of a row that one product shrinks, at most: more are a larger product, mostly of zeros
INT8 = 127


@dataclass(frozen=True)
class Axis:
    """Every ``step`` pixels become as many as ``weights`` [outputs, halo + step + halo] has rows."""

    weights: Whole
    step: int
    halo: int

    @classmethod
    def between(cls, before: int, after: int) -> Axis | None:
        """The axis from one size to another; None where it grows, or its weights do not fit into int8."""
        common = gcd(before, after)
        step, outputs = before // common, after // common
        if after > before:
            return None
        # The filter reaches ``step / outputs`` pixels to each side of an output's middle. Places in units of
        # 1 / (2 * outputs) of a pixel are whole numbers, and weights in units of 1 / (2 * step).
        halo = (step + outputs - 1) // (2 * outputs)
        inputs, middles = np.arange(-halo, step + halo), np.arange(outputs)
        apart = np.abs(outputs * (2 * inputs + 1) - step * (2 * middles[:, None] + 1))
        weights = np.maximum(0, 2 * step - apart)
        weights //= np.gcd.reduce(weights, axis=None)
        return cls(weights, step, halo) if weights.max() <= INT8 else None

    def block(self, before: int) -> tuple[Whole, int]:
        """The weights [outputs, inputs] of several steps at once, and how many pixels that takes of the ``before``."""
        every = before // self.step
        most = max(1, BLOCK // self.step)
        count = max(number for number in range(1, most + 1) if every % number == 0)
        outputs, inputs = self.weights.shape
        made = np.zeros((count * outputs, count * self.step + 2 * self.halo), np.int64)
        for number in range(count):
            start = number * self.step
            made[number * outputs : (number + 1) * outputs, start : start + inputs] = self.weights
        return made, count * self.step


@dataclass(frozen=True)
class Steps:
    """Nodes and constants for a graph, all named after one of its tensors."""

    name: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, value: ArrayLike) -> str:
        """A constant's name."""
        name = f"{self.name}.constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, operation: str, *inputs: str, **attributes: object) -> str:
        """The name of what an operation makes."""
        made = f"{self.name}.{operation}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [made], made, **attributes))
        return made

    def mean(self, given: str, weights: Whole, channels: int = 1, **attributes: object) -> str:
        """A convolution of bytes to bytes, of each of several channels alike.

        ``weights`` [outputs, 1, rows, columns] are taken over the sum of each output's.
        """
        one, zero = self.constant(np.float32(1)), self.constant(np.uint8(0))
        scales = (1 / weights.sum(axis=(1, 2, 3))).astype(np.float32)
        kernel = self.constant(weights.astype(np.int8))
        if channels > 1:
            kernel = self.add("Expand", kernel, self.constant([channels, 1, 1, 1]))
            scales = scales[0]
        floats = self.add("DequantizeLinear", given, one, zero)
        kernel = self.add("DequantizeLinear", kernel, self.constant(scales), axis=0)
        shape = list(weights.shape[2:])
        found = self.add("Conv", floats, kernel, kernel_shape=shape, group=channels, **attributes)
        return self.add("QuantizeLinear", found, one, zero)


def interleaved(weights: Whole) -> Whole:
    """Weights [outputs, inputs] of pixels as those of their channels, one after the other: [outputs, 1, 1, inputs]."""
    made = np.kron(weights, np.eye(CHANNELS, dtype=np.int64))
    return made.reshape(len(made), 1, 1, -1)


def shrink(graph: onnx.GraphProto, pixels: str, resize: onnx.NodeProto, before: Size, after: Size) -> bool:
    """Puts convolutions in place of a Resize, from ``pixels`` uint8 [n, height, width, 3] to [n, 3, height, width].

    A pixel is rounded after its column and after its row. Beyond the rim are the pixels at it, where Resize cuts its
    filter: only the outermost pixels differ. False, and nothing is done, where an axis has no Axis.
    """
    rows, columns = (Axis.between(*sizes) for sizes in zip(before, after, strict=True))
    if rows is None or columns is None:
        return False
    steps, width = Steps(resize.output[0]), (before[1] + 2 * columns.halo) * CHANNELS
    pads = steps.constant([0, rows.halo, columns.halo, 0] * 2)
    flat = steps.add("Pad", pixels, pads, mode="edge")
    # Along the height, whole rows are added up; an output's weights are one of a few phases of the filter.
    flat = steps.add("Reshape", flat, steps.constant([-1, before[0] + 2 * rows.halo, 1, width]))
    flat = steps.add("Transpose", flat, perm=[0, 3, 1, 2])
    phases = [steps.mean(flat, one.reshape(1, 1, -1, 1), width, strides=[rows.step, 1]) for one in rows.weights]
    flat = steps.add("Transpose", steps.add("Concat", *phases, axis=3), perm=[0, 2, 3, 1])
    # Along the width, a block of pixels with their channels is the input of one product.
    weights, block = columns.block(before[1])
    flat = steps.add("Reshape", flat, steps.constant([-1, 1, after[0], width]))
    flat = steps.mean(flat, interleaved(weights), strides=[1, block * CHANNELS])
    flat = steps.add("Transpose", flat, perm=[0, 2, 3, 1])
    flat = steps.add("Reshape", flat, steps.constant([-1, *after, CHANNELS]))
    steps.nodes.append(helper.make_node("Transpose", [flat], list(resize.output), perm=[0, 3, 1, 2]))
    graph.node.remove(resize)
    graph.node.extend(steps.nodes)
    graph.initializer.extend(steps.constants)
    return True
