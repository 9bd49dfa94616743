"""How close an exported graph is to the PyTorch model it came from; one that is not close is refused.

The figures go into the manifest: the largest difference of a number, and the lowest cosine of a vector. The similarity
that is trained with them is held to its definition for arrays in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle, Graph
from open_autoglm.errors import BundleError
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMProcessor
from open_autoglm.modeling.cells import cell_sizes, image_cells
from open_autoglm.modeling.processor import tokenized
from open_autoglm.runtime.engine import Engine
from open_autoglm.runtime.images import Preprocessing
from open_autoglm.runtime.similarity import Queries, Words, read_similarity, unit

from .sentences import SENTENCES
from .static_int8 import cosines

LOWEST_COSINE = 0.9999  # what two correct kernels may differ by
# Kernels of processors without AVX-512 add up in another order, and come out a little above half of it.
MOST_APART = 2e-3  # of two scores, relative to the largest where that is above 1


def image_parity(model: OpenAutoGLM, preprocessing: Preprocessing, bundle: Bundle, graph: Graph) -> dict[str, float]:
    """Graph against model on smooth random pictures."""
    pixels = smooth_pictures(4, preprocessing.height, preprocessing.width)
    with torch.no_grad():
        wanted = model.get_image_views(normalised(pixels, preprocessing)).numpy()
    return compared(wanted, Engine(bundle, graph).run(pixels=pixels), graph)


def cells_parity(model: OpenAutoGLM, preprocessing: Preprocessing, bundle: Bundle, graph: Graph) -> dict[str, float]:
    """As ``image_parity``, for cells; ``max_length_difference``: how far the lengths of two are apart."""
    sizes = cell_sizes(preprocessing.height, preprocessing.width)
    pixels = smooth_pictures(2, *sizes[-1])
    with torch.no_grad():
        grids = image_cells(model, normalised(pixels, preprocessing), sizes)
    wanted = torch.cat([grid.flatten(1, 2) for grid in grids], dim=1).numpy()
    got = Engine(bundle, graph).run(pixels=pixels)
    lengths = [np.linalg.norm(cells, axis=-1) for cells in (wanted, got)]
    apart = float(np.abs(lengths[0] - lengths[1]).max())
    if not apart <= MOST_APART * float(lengths[0].max()):
        raise BundleError(f"The graph {graph.file} differs from its model: lengths differ by up to {apart:.4f}.")
    return {**compared(unit(wanted), unit(got), graph), "max_length_difference": apart}


def text_parity(model: OpenAutoGLM, tokenizer: Any, bundle: Bundle, graph: Graph) -> dict[str, float]:
    """Graph against model on sentences of several lengths, one batch; and on their words, where they are compared."""
    inputs = tokenized(tokenizer, SENTENCES, model.config.max_text_tokens, model.config.pad_text)
    with torch.no_grad():
        side = model.text_side(**inputs)
    found = Engine(bundle, graph).outputs(list(graph.outputs), **arrays(inputs))
    figures = compared(side.whole.numpy(), found[0], graph)
    if side.parts is not None:
        there = side.parts.mask.numpy()
        words = compared(side.parts.vectors.numpy()[there], found[1][there], graph)
        figures |= {f"words_{name}": value for name, value in words.items()}
    return figures


def fusion_parity(
    model: OpenAutoGLM, processor: OpenAutoGLMProcessor, bundle: Bundle, regions: Graph, answer: Graph
) -> dict[str, dict[str, float]]:
    """Graphs against model on random boxes of smooth random pictures, some masked, and every sentence of ours."""
    preprocessing = processor.image_processor.preprocessing
    inputs = tokenized(processor.tokenizer, SENTENCES, model.config.max_text_tokens, model.config.pad_text)
    count = len(SENTENCES)
    pixels = smooth_pictures(count, preprocessing.height, preprocessing.width)
    random = np.random.default_rng(0)
    corners = np.sort(random.random((count, 6, 2, 2), dtype=np.float32), axis=2)
    boxes, mask = corners.reshape(count, 6, 4), random.random((count, 6)) < 0.8
    mask[:, 0] = True
    with torch.no_grad():
        there = torch.from_numpy(mask)
        encoded = model.encode_image(normalised(pixels, preprocessing), torch.from_numpy(boxes), there)
        prepared = model.fused.fusion.prepare(encoded, there)
        tokens = model.encode_text(**inputs)
        judged = model.fused.judge(prepared, there, tokens, inputs["attention_mask"].bool())
    found = Engine(bundle, regions).run(pixels=pixels, boxes=boxes, mask=mask)
    names = list(answer.outputs)
    outputs = Engine(bundle, answer).outputs(names, prepared=prepared.numpy(), mask=mask, **arrays(inputs))
    apart = max(furthest(getattr(judged, name).numpy(), got, answer) for name, got in zip(names, outputs, strict=True))
    return {
        "regions": {"max_difference": furthest(prepared.numpy()[mask], found[mask], regions)},
        "answer": {"max_difference": apart},
    }


def furthest(wanted: NDArray[np.float32], got: NDArray[np.float32], graph: Graph) -> float:
    """The largest difference of a number; BundleError where it is more than two correct kernels may have."""
    apart = float(np.abs(wanted - got).max())
    if not apart <= MOST_APART * max(1.0, float(np.abs(wanted).max())):
        raise BundleError(f"The graph {graph.file} differs from its model by up to {apart:.4f}.")
    return apart


def check_similarity(model: OpenAutoGLM, processor: OpenAutoGLMProcessor, bundle: Bundle) -> None:
    """Raises BundleError where the runtime, with the bundle's graphs, scores unlike the model."""
    preprocessing = processor.image_processor.preprocessing
    pixels = smooth_pictures(4, preprocessing.height, preprocessing.width)
    inputs = tokenized(processor.tokenizer, SENTENCES, model.config.max_text_tokens, model.config.pad_text)
    with torch.no_grad():
        images, texts = model.image_side(normalised(pixels, preprocessing)), model.text_side(**inputs)
        wanted = model.similarity(images, texts).numpy()
    views = Engine(bundle, bundle.graph("image", "fp32")).run(pixels=pixels)
    graph = bundle.graph("text", "fp32")
    vectors, *words = Engine(bundle, graph).outputs(list(graph.outputs), **arrays(inputs))
    mask = inputs["attention_mask"].bool().numpy()
    queries = Queries(vectors, *(Words(one, mask, ((),) * len(one)) for one in words))
    similarity = read_similarity(bundle)
    got = similarity(queries, views if similarity.needs_parts else views[:, :1]).T
    apart = float(np.abs(wanted - got).max())
    if not apart <= MOST_APART * max(1.0, float(np.abs(wanted).max())):
        kind = bundle.manifest.similarity["kind"]
        raise BundleError(
            f"The {kind} similarity of the bundle is not its model's: scores differ by up to {apart:.4f}."
        )


def arrays(inputs: Mapping[str, torch.Tensor]) -> dict[str, NDArray[Any]]:
    """Tensors as a graph takes them."""
    return {name: tensor.numpy() for name, tensor in inputs.items()}


def normalised(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> torch.Tensor:
    """Pictures [n, height, width, 3] as the model takes them, [n, 3, height, width]."""
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    return (planes - mean) / std


def compared(wanted: NDArray[np.float32], got: NDArray[np.float32], graph: Graph) -> dict[str, float]:
    """The figures; BundleError where the two are not the same function. A cell that sees nothing is zero in both."""
    cosine = float(cosines(wanted, got).min())
    if not cosine >= LOWEST_COSINE:
        raise BundleError(
            f"The graph {graph.file} differs from its model: lowest cosine {cosine:.4f}, allowed {LOWEST_COSINE}."
        )
    return {"max_difference": float(np.abs(wanted - got).max()), "lowest_cosine": cosine}


def smooth_pictures(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Pictures [count, height, width, 3] of random colour fields, more like photographs than noise is."""
    random = np.random.default_rng(0)
    coarse = torch.from_numpy(random.random((count, 3, 7, 7), dtype=np.float32)) * 255
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 255)
    pixels: NDArray[np.uint8] = fine.permute(0, 2, 3, 1).round().to(torch.uint8).contiguous().numpy()
    return pixels
