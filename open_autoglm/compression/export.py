"""Exports the model's two sides as ONNX graphs, whose inputs are what the runtime has at hand.

Pictures enter as bytes, sentences as token ids; it knows nothing about bundles or files.
"""

from __future__ import annotations

import copy
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from onnxscript import optimizer
from torch import Tensor, nn
from torch.export import Dim
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, bidirectional_mask_function, eager_mask

from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.modeling.cells import cell_grids, cell_sizes, image_cells
from open_autoglm.runtime.images import Preprocessing

OPSET = 20
MOST_REGIONS = 1000


class PictureGraph(nn.Module):
    """A graph that takes pixels uint8 [n, height, width, 3], and normalises them itself."""

    scale: Tensor
    shift: Tensor

    def __init__(self, model: OpenAutoGLM, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model = model
        self.preprocessing = preprocessing
        scale = 255 * torch.tensor(preprocessing.std)
        self.register_buffer("scale", (1 / scale)[:, None, None], persistent=False)
        self.register_buffer("shift", (torch.tensor(preprocessing.mean) * 255 / scale)[:, None, None], persistent=False)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Pixels as the model takes them, float32 [n, 3, height, width]."""
        return pixels.permute(0, 3, 1, 2).to(torch.float32) * self.scale - self.shift


class ImageGraph(PictureGraph):
    """Pixels to unit vectors [n, views, dimension]."""

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model.get_image_views(self.normalised(pixels))


class CellGraph(PictureGraph):
    """Pixels, of the largest size, to cells [n, cells, dimension]: grid after grid, each row by row."""

    def forward(self, pixels: Tensor) -> Tensor:
        sizes = cell_sizes(self.preprocessing.height, self.preprocessing.width)
        grids = image_cells(self.model, self.normalised(pixels), sizes)
        return torch.cat([grid.flatten(1, 2) for grid in grids], dim=1)


class TextGraph(nn.Module):
    """Token ids and mask, int64 [n, t], to unit vectors [n, dimension], and words' [n, t, dimension] if compared."""

    def __init__(self, model: OpenAutoGLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.text_side(input_ids, attention_mask).vectors)


class RegionGraph(PictureGraph):
    """Pixels, boxes [n, k, 4] and mask [n, k] to prepared regions [n, k, width]."""

    def forward(self, pixels: Tensor, boxes: Tensor, mask: Tensor) -> Tensor:
        regions = self.model.encode_image(self.normalised(pixels), boxes, mask)
        prepared: Tensor = self.model.fused.fusion.prepare(regions, mask)
        return prepared


class AnswerGraph(nn.Module):
    """Prepared regions and a sentence's tokens to logits of answers, if any, and of a match, and what they rest on."""

    def __init__(self, model: OpenAutoGLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, prepared: Tensor, mask: Tensor, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        tokens = self.model.encode_text(input_ids, attention_mask)
        judged = self.model.fused.judge(prepared, mask, tokens, attention_mask.bool())
        logits = (judged.answers, judged.match) if self.model.answers else (judged.match,)
        return *logits, judged.rests


@dataclass(frozen=True)
class Exported:
    """A graph with its weights inside, and its inputs and outputs as ``dtype[shape]``."""

    proto: onnx.ModelProto
    inputs: dict[str, str]
    outputs: dict[str, str]


def export_image(model: OpenAutoGLM, preprocessing: Preprocessing) -> Exported:
    """The picture graph: ``pixels`` to ``vectors``."""
    size = (preprocessing.height, preprocessing.width)
    shape = f"float32[n, {model.config.views}, {model.config.projection_dim}]"
    return export_picture(ImageGraph(model, preprocessing), size, "vectors", shape)


def export_cells(model: OpenAutoGLM, preprocessing: Preprocessing) -> tuple[Exported, dict[str, Any]]:
    """The graph of cells, ``pixels`` to ``cells``, and what a manifest says of them: size of the picture, grids."""
    sizes = cell_sizes(preprocessing.height, preprocessing.width)
    grids = cell_grids(model, sizes)
    count = sum(rows * columns for rows, columns in grids)
    shape = f"float32[n, {count}, {model.config.projection_dim}]"
    exported = export_picture(CellGraph(model, preprocessing), sizes[-1], "cells", shape)
    return exported, {"height": sizes[-1][0], "width": sizes[-1][1], "grids": grids}


def export_picture(graph: PictureGraph, size: tuple[int, int], output: str, shape: str) -> Exported:
    """A graph from ``pixels`` of a size to one output of a shape."""
    pixels = torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8)
    shapes = {"pixels": {0: Dim("n", min=1, max=1024)}}
    # Norms folded into convolutions would be weights of their own: stored twice, where the engine folds them anyway.
    proto = to_onnx(graph, (pixels,), shapes, [output], rewrite=False)
    return Exported(proto, {"pixels": f"uint8[n, {size[0]}, {size[1]}, 3]"}, {output: shape})


def export_text(model: OpenAutoGLM) -> Exported:
    """The text graph: ``input_ids`` and ``attention_mask`` to ``vectors``, and ``words`` where they are compared."""
    tokens = torch.randint(0, model.config.text_config.vocab_size, (2, 7))
    rows, columns = Dim("n", min=1, max=4096), Dim("t", min=2, max=model.config.max_text_tokens)
    shapes = {name: {0: rows, 1: columns} for name in ("input_ids", "attention_mask")}
    outputs = {"vectors": f"float32[n, {model.config.projection_dim}]"}
    if model.similarity.needs_parts:
        outputs["words"] = f"float32[n, t, {model.config.projection_dim}]"
    proto = to_onnx(TextGraph(model), (tokens, torch.ones_like(tokens)), shapes, list(outputs))
    return Exported(proto, dict.fromkeys(shapes, "int64[n, t]"), outputs)


def export_regions(model: OpenAutoGLM, preprocessing: Preprocessing) -> Exported:
    """The graph of regions: ``pixels``, ``boxes`` and ``mask`` to ``prepared``."""
    size = (preprocessing.height, preprocessing.width)
    pixels = torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8)
    boxes, mask = torch.tensor([[0.1, 0.2, 0.6, 0.9]]).expand(2, 3, 4).contiguous(), torch.ones(2, 3, dtype=torch.bool)
    rows, regions = Dim("n", min=1, max=1024), Dim("k", min=1, max=MOST_REGIONS)
    shapes = {"pixels": {0: rows}, "boxes": {0: rows, 1: regions}, "mask": {0: rows, 1: regions}}
    outputs = {"prepared": f"float32[n, k, {model.fused.settings.width}]"}
    graph = RegionGraph(model, preprocessing)
    proto = to_onnx(graph, (pixels, boxes, mask), shapes, list(outputs), rewrite=False)
    inputs = {"pixels": f"uint8[n, {size[0]}, {size[1]}, 3]", "boxes": "float32[n, k, 4]", "mask": "bool[n, k]"}
    return Exported(proto, inputs, outputs)


def export_answer(model: OpenAutoGLM) -> Exported:
    """The graph of answers: ``prepared`` and ``mask``, ``input_ids`` and ``attention_mask`` to ``answers``, ..."""
    width = model.fused.settings.width
    tokens = torch.randint(0, model.config.text_config.vocab_size, (2, 7))
    inputs = (torch.randn(2, 3, width), torch.ones(2, 3, dtype=torch.bool), tokens, torch.ones_like(tokens))
    rows, regions = Dim("n", min=1, max=4096), Dim("k", min=1, max=MOST_REGIONS)
    columns = Dim("t", min=2, max=model.config.max_text_tokens)
    shapes = {name: {0: rows, 1: regions} for name in ("prepared", "mask")}
    shapes |= {name: {0: rows, 1: columns} for name in ("input_ids", "attention_mask")}
    outputs = {"answers": f"float32[n, {len(model.answers)}]"} if model.answers else {}
    outputs |= {"match": "float32[n]", "rests": "float32[n, k]"}
    proto = to_onnx(AnswerGraph(model), inputs, shapes, list(outputs))
    written = {"prepared": f"float32[n, k, {width}]", "mask": "bool[n, k]"}
    return Exported(proto, written | dict.fromkeys(("input_ids", "attention_mask"), "int64[n, t]"), outputs)


def to_onnx(
    graph: nn.Module, inputs: tuple[Any, ...], shapes: dict[str, Any], outputs: list[str], rewrite: bool = True
) -> onnx.ModelProto:
    """A module as an ONNX model with dynamic sizes; the module itself is left as it was.

    ``rewrite``: patterns of nodes become fewer ones; without, only constants are folded.
    """
    frozen = copy.deepcopy(graph).eval()
    for module in frozen.modules():
        if hasattr(module, "config") and hasattr(module.config, "_attn_implementation"):
            module.config._attn_implementation = "eager"
    chatter = io.StringIO()  # the exporter narrates every step on the standard streams
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # and misses torchvision, which nothing here needs
    with torch.no_grad(), plain_masks(), redirect_stdout(chatter), redirect_stderr(chatter):
        program = torch.onnx.export(
            frozen,
            inputs,
            input_names=list(shapes),
            output_names=outputs,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            optimize=rewrite,
            verbose=False,
        )
    assert program is not None  # noqa: S101  (None only without dynamo)
    if not rewrite:
        optimizer.fold_constants(program.model)
        optimizer.remove_unused_nodes(program.model)
    proto = program.model_proto
    # Where it knows the shapes between steps, ONNX Runtime joins sums with norms into a step that is slower than both.
    del proto.graph.value_info[:]
    return proto


@contextmanager
def plain_masks() -> Iterator[None]:
    """Masks of words that are there, in four steps; transformers looks each up by its position, in thirty."""
    ALL_MASK_ATTENTION_FUNCTIONS["eager"] = padding_mask
    try:
        yield
    finally:
        del ALL_MASK_ATTENTION_FUNCTIONS["eager"]  # the library's own is below


def padding_mask(*, attention_mask: Tensor | None, mask_function: Any, dtype: torch.dtype, **more: Any) -> Any:
    """What is added to scores [B, heads, q, k]: 0 where a word is, the lowest number where none is, [B, 1, 1, k]."""
    if attention_mask is None or attention_mask.ndim != 2 or mask_function is not bidirectional_mask_function:
        return eager_mask(attention_mask=attention_mask, mask_function=mask_function, dtype=dtype, **more)
    return (1 - attention_mask[:, None, None].to(dtype)) * torch.finfo(dtype).min
