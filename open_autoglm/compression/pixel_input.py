"""Lets an int8 graph take its bytes as they come: a picture's pixels are uint8 already, and normalising scales them.

It knows how picture graphs begin (transpose, cast, scale, shift, perhaps resize); it knows nothing of what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

BYTES = 255


@dataclass(frozen=True)
class PixelInput:
    """``pixels``: the transposed bytes; ``normalised``: what the float graph makes of them, ``(p - zero) * scale``.

    ``resized``: the normalised picture at other sizes.
    """

    pixels: str
    normalised: str
    resized: tuple[str, ...]
    scale: float
    zero: int

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The range of bytes, of each normalised picture."""
        low, high = (float((edge - self.zero) * self.scale) for edge in (0, BYTES))
        return dict.fromkeys((self.normalised, *self.resized), (low, high))


def pixel_input(graph: onnx.GraphProto) -> PixelInput | None:
    """How the graph begins; None where it is another beginning, or its channels are scaled differently.

    A mean between two bytes is rounded to one: half a level, which the bias correction takes for what it is.
    """
    constants = {initializer.name: initializer for initializer in graph.initializer}
    users = consumers(graph)
    for transpose in graph.node:
        chain = [transpose]
        for wanted in ("Cast", "Mul", "Sub"):
            following = users.get(chain[-1].output[0], [])
            if len(following) != 1 or following[0].op_type != wanted:
                break
            chain.append(following[0])
        if transpose.op_type != "Transpose" or len(chain) < 4:
            continue
        factors = [constants.get(node.input[1]) for node in chain[2:]]
        if None in factors:
            return None
        scale, shift = (numpy_helper.to_array(factor).reshape(-1) for factor in factors)
        zero = float(shift[0] / scale[0])
        if np.ptp(scale) or np.ptp(shift) or not 0 <= zero <= BYTES:
            return None
        normalised = chain[-1].output[0]
        resized = (node.output[0] for node in users.get(normalised, []) if node.op_type == "Resize")
        return PixelInput(transpose.output[0], normalised, tuple(resized), float(scale[0]), round(zero))
    return None


def take_bytes(proto: onnx.ModelProto, given: PixelInput) -> None:
    """Puts the bytes in place of the first QuantizeLinear of the graph, and resizes them as bytes."""
    graph = proto.graph
    producers = {output: node for node in graph.node for output in node.output}
    for node in [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] in given.ranges]:
        source = node.input[0]
        if source != given.normalised:
            producers[source].input[0] = given.pixels
        rename(graph, node.output[0], source if source != given.normalised else given.pixels)
        graph.node.remove(node)
    for node in graph.node:
        if node.op_type == "Shape" and node.input[0] == given.normalised:
            node.input[0] = given.pixels
    drop_unused(graph)


def consumers(graph: onnx.GraphProto) -> Mapping[str, list[onnx.NodeProto]]:
    """The nodes that take each tensor."""
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    return users


def rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Lets every node take another tensor."""
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name == old:
                node.input[position] = new


def drop_unused(graph: onnx.GraphProto) -> None:
    """Removes nodes and weights that no output of the graph comes from; nodes may lie in any order."""
    producers = {output: node for node in graph.node for output in node.output}
    wanted, waiting = set[str](), [output.name for output in graph.output]
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += producers[name].input if name in producers else ()
    for node in [node for node in graph.node if wanted.isdisjoint(node.output)]:
        graph.node.remove(node)
    for initializer in [one for one in graph.initializer if one.name not in wanted]:
        graph.initializer.remove(initializer)
