"""Exports the decoder that writes as two ONNX graphs: what it looks at of a picture, and its steps with a cache.

Pictures enter as bytes, texts as places of tokens; it knows nothing about bundles or how tokens are chosen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import Dim

from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.modeling.generation import TextDecoder
from open_autoglm.runtime.images import Preprocessing

from .export import MOST_REGIONS, Exported, PictureGraph, to_onnx


class ContextGraph(PictureGraph):
    """Pixels, boxes [n, k, 4] and mask [n, k] to the decoder's ``context``."""

    def forward(self, pixels: Tensor, boxes: Tensor, mask: Tensor) -> Tensor:
        writer = self.model.writer
        context: Tensor = writer.decoder.prepare(
            writer.regions(self.model.vision.features(self.normalised(pixels)), boxes, mask)
        )
        return context


class DecodeGraph(nn.Module):
    """Tokens of n texts about one picture to the logits of what comes next, and what is kept of them."""

    def __init__(self, decoder: TextDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, tokens: Tensor, past: Tensor, context: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        states, kept = self.decoder(tokens, past, context, mask)
        return self.decoder.logits(states[:, -1]), kept


def export_context(model: OpenAutoGLM, preprocessing: Preprocessing) -> Exported:
    """The graph of what is looked at: ``pixels``, ``boxes`` and ``mask`` to ``context``."""
    size = (preprocessing.height, preprocessing.width)
    pixels = torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8)
    boxes, mask = torch.tensor([[0.1, 0.2, 0.6, 0.9]]).expand(2, 3, 4).contiguous(), torch.ones(2, 3, dtype=torch.bool)
    rows, regions = Dim("n", min=1, max=1024), Dim("k", min=1, max=MOST_REGIONS)
    shapes = {"pixels": {0: rows}, "boxes": {0: rows, 1: regions}, "mask": {0: rows, 1: regions}}
    outputs = {"context": f"float32[n, k, {model.writer.decoder.kept}]"}
    proto = to_onnx(ContextGraph(model, preprocessing), (pixels, boxes, mask), shapes, list(outputs), rewrite=False)
    inputs = {"pixels": f"uint8[n, {size[0]}, {size[1]}, 3]", "boxes": "float32[n, k, 4]", "mask": "bool[n, k]"}
    return Exported(proto, inputs, outputs)


def export_decode(model: OpenAutoGLM) -> Exported:
    """The graph of steps: ``tokens``, ``past``, ``context`` and ``mask`` to ``logits`` and ``kept``.

    A prompt and a single token go through the same graph: ``past`` is empty at first, and what is ``kept`` is added
    to its end each time.
    """
    settings, vocabulary, each = model.writer.settings, len(model.writer.lexicon), model.writer.decoder.kept
    inputs = (
        torch.randint(0, vocabulary, (2, 3)),
        torch.randn(4, 2, each),
        torch.randn(1, 5, each),
        torch.ones(1, 5, dtype=torch.bool),
    )
    texts, tokens = Dim("n", min=1, max=4096), Dim("t", min=1, max=settings.most_tokens)
    past, regions = Dim("p", min=0, max=settings.most_tokens), Dim("k", min=1, max=MOST_REGIONS)
    shapes = {"tokens": {0: texts, 1: tokens}, "past": {0: past, 1: texts}, "context": {1: regions}}
    shapes |= {"mask": {1: regions}}
    outputs = {"logits": f"float32[n, {vocabulary}]", "kept": f"float32[t, n, {each}]"}
    proto = to_onnx(DecodeGraph(model.writer.decoder), inputs, shapes, list(outputs))
    written = {
        "tokens": "int64[n, t]",
        "past": f"float32[p, n, {each}]",
        "context": f"float32[1, k, {each}]",
        "mask": "bool[1, k]",
    }
    return Exported(proto, written, outputs)
