"""Lets an int8 graph take its bytes as they come: a picture's pixels are uint8 already, and normalising scales them.

It knows how picture graphs begin (transpose, cast, scale, shift, perhaps resize); it knows nothing of what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .byte_shrinking import shrink

BYTES = 255


@dataclass(frozen=True)
class PixelInput:
    """``pixels``: the bytes; ``turned``: channels first; ``normalised``: those in float, ``(p - zero) * scale``.

    ``resized``: the normalised picture at other sizes.
    """

    pixels: str
    turned: str
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
        pixels, turned = transpose.input[0], transpose.output[0]
        return PixelInput(pixels, turned, normalised, tuple(resized), float(scale[0]), round(zero))
    return None


def take_bytes(proto: onnx.ModelProto, given: PixelInput) -> None:
    """Puts the bytes in place of the first QuantizeLinear of the graph, and resizes them as bytes."""
    graph = proto.graph
    producers = {output: node for node in graph.node for output in node.output}
    for node in [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] in given.ranges]:
        source = node.input[0]
        if source != given.normalised:
            resize_bytes(graph, producers[source], given)
        take_instead(graph, node.output[0], source if source != given.normalised else given.turned)
        graph.node.remove(node)
    as_large = {given.normalised}
    as_large |= {
        node.output[0] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] == given.turned
    }
    for node in graph.node:
        if node.op_type == "Shape" and node.input[0] in as_large:
            node.input[0] = given.turned
    drop_unused(graph)


def resize_bytes(graph: onnx.GraphProto, resize: onnx.NodeProto, given: PixelInput) -> None:
    """Lets a resize take the bytes: as convolutions where it shrinks by a filter that they can be, else as it is."""
    before = next((one for one in graph.input if one.name == given.pixels), None)
    after = size_after(graph, resize)
    if before is not None and after is not None and filters(resize):
        _, height, width, _ = (size.dim_value for size in before.type.tensor_type.shape.dim)
        if shrink(graph, given.pixels, resize, (height, width), after):
            return
    resize.input[0] = given.turned


def filters(resize: onnx.NodeProto) -> bool:
    """Whether a resize is linear with a low-pass filter, between the middles of pixels, as PyTorch's is."""
    facts = {attribute.name: helper.get_attribute_value(attribute) for attribute in resize.attribute}
    middles = facts.get("coordinate_transformation_mode", b"half_pixel") == b"half_pixel"
    return middles and facts.get("mode") == b"linear" and facts.get("antialias") == 1


def size_after(graph: onnx.GraphProto, resize: onnx.NodeProto) -> tuple[int, int] | None:
    """The height and width that a resize makes, where they are constants; they may come after sizes that are not."""
    if len(resize.input) < 4:
        return None
    joined = next((node for node in graph.node if resize.input[3] in node.output), None)
    last = joined.input[-1] if joined is not None and joined.op_type == "Concat" else resize.input[3]
    found = next((numpy_helper.to_array(one) for one in graph.initializer if one.name == last), None)
    return (int(found[-2]), int(found[-1])) if found is not None and len(found) > 1 else None


def consumers(graph: onnx.GraphProto) -> Mapping[str, list[onnx.NodeProto]]:
    """The nodes that take each tensor."""
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    return users


def take_instead(graph: onnx.GraphProto, old: str, new: str) -> None:
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
