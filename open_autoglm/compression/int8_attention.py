"""Joins the steps of attention among words, in a graph whose products are int8, into one step of ONNX Runtime.

``QAttention`` makes int8 of what its three linear layers look at once, and moves no tensor between them. It knows the
steps as ``export`` and ``quantize`` write them; it knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript.rewriter import RewriteRuleSet
from onnxscript.rewriter.pattern import MatchResult, RewriteRuleClassBase

LINEAR = ("Add", "Mul", "Cast", "MatMulInteger")  # a linear layer in int8, back from its output
MASK = ("Mul", "Sub", "Cast", "Unsqueeze", "Cast")  # what is added to scores, back to which words there are


def join_attention(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with every attention joined among words that an input of the graph masks, and no other."""
    model = ir.serde.deserialize_model(proto)
    RewriteRuleSet([JoinAttention.rule()]).apply_to_model(model)
    RemoveUnusedNodesPass()(model)
    return ir.serde.serialize_model(model)


@dataclass(frozen=True)
class Linear:
    """A linear layer in int8: the integers it looks at with their step and zero, its weights with theirs, its bias."""

    looked_at: tuple[Any, Any, Any]
    weights: Any
    step: Any
    bias: Any


@dataclass(frozen=True)
class Attention:
    """The layers of query, key and value, how many heads they have, and which words there are, int64 [n, t]."""

    layers: Sequence[Linear]
    heads: int
    there: Any


def steps_back(value: Any, operations: Sequence[str]) -> list[Any]:
    """The nodes of these operations that a value comes by, last first; LookupError where it comes by others."""
    found = list[Any]()
    for operation in operations:
        node = value.producer()
        if node is None or node.op_type != operation:
            raise LookupError(f"{value.name} is not made by {operation}")
        found.append(node)
        value = first(node, constant=False)
    return found


def first(node: Any, constant: bool) -> Any:
    """A node's first input that is a constant, or is none; LookupError where there is no such."""
    for given in node.inputs:
        if (given.const_value is not None) is constant:
            return given
    raise LookupError(f"{node.name} has no such input")


def linear(value: Any) -> Linear:
    """The layer that a value comes from; LookupError where it is none."""
    add, scaled, _, product = steps_back(value, LINEAR)
    if len(product.inputs) != 3:
        raise LookupError("weights have zero points")
    whole, weights, zero = product.inputs
    step, weights_step = scaled.inputs[1].producer().inputs
    return Linear((whole, step, zero), weights, weights_step, first(add, constant=True))


def attention(query: Any, key: Any, value: Any, scale: Any, mask: Any, **_: Any) -> Attention:
    """What three layers' outputs, a constant and a mask are of; LookupError where they are of none."""
    layers = [linear(one) for one in (query, key, value)]
    there = steps_back(mask, MASK)[-1].inputs[0]
    if any(layer.looked_at != layers[0].looked_at for layer in layers):
        raise LookupError("the layers look at different words")
    if not there.is_graph_input() or scale.const_value is None:
        raise LookupError("which words there are, or the scale, is computed")
    width = round(float(scale.const_value.numpy()) ** -2)
    return Attention(layers, layers[0].bias.shape[0] // width, there)


class JoinAttention(RewriteRuleClassBase):
    """What becomes one step, when, and what it becomes."""

    def pattern(self, op: Any, query: Any, key: Any, value: Any, scale: Any, mask: Any, apart: Any, joined: Any) -> Any:
        """Attention of several heads to [n, t, d], from its three linear layers' outputs [n, t, d]."""

        def heads(one: Any, order: Sequence[int]) -> Any:
            return op.Transpose(op.Reshape(one, apart), perm=order)

        scores = op.Mul(op.MatMul(heads(query, [0, 2, 1, 3]), heads(key, [0, 2, 3, 1])), scale)
        shares = op.Softmax(op.Add(scores, mask), axis=-1)
        found = op.MatMul(shares, heads(value, [0, 2, 1, 3]))
        return op.Reshape(op.Transpose(found, perm=[0, 2, 1, 3]), joined)

    def check(self, op: Any, *_: Any, **given: Any) -> MatchResult:
        """Whether the layers are int8 and look at the same words, and the mask says no more than which there are."""
        result = MatchResult()
        try:
            attention(**given)
        except LookupError as error:
            result.fail(str(error))
        return result

    def rewrite(self, op: Any, *_: Any, **given: Any) -> Any:
        """The weights stay as they lie in the bundle: ONNX Runtime puts them side by side once, as it loads."""
        found = attention(**given)
        whole, step, zero = found.layers[0].looked_at
        weights, bias, weights_step = (
            op.Concat(*(getattr(layer, part) for layer in found.layers), axis=-1)
            for part in ("weights", "bias", "step")
        )
        there = op.Cast(found.there, to=ir.DataType.INT32)
        return op.QAttention(
            whole, weights, bias, step, weights_step, there, zero, _domain="com.microsoft", num_heads=found.heads
        )
