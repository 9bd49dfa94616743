"""How close an exported graph is to the PyTorch model it came from; one that is not close is refused.

The figures go into the manifest: the largest difference of a number, and the lowest cosine of a vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle, Graph
from open_autoglm.errors import BundleError
from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.runtime.engine import Engine
from open_autoglm.runtime.images import Preprocessing

# fp32: what two correct kernels may differ by. int8: where neighbours in a ranking start to swap.
LOWEST_COSINE = {"fp32": 0.9999, "int8": 0.97}

SENTENCES = (
    "dog",
    "a photo of a bicycle",
    "two red apples on a wooden table beside a window",
    "An old man in a blue jacket is reading a newspaper at the railway station, waiting for his train.",
    "sunset over the sea",
    "IMG_2041 (copy).jpg",
    "the kitchen sink is full of dirty plates, cups and cutlery after yesterday's long dinner with friends",
    "不明",
)


def image_parity(model: OpenAutoGLM, preprocessing: Preprocessing, bundle: Bundle, graph: Graph) -> dict[str, float]:
    """Graph against model on smooth random pictures."""
    pixels = smooth_pictures(4, preprocessing.height, preprocessing.width)
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    with torch.no_grad():
        wanted = model.get_image_views((planes - mean) / std).numpy()
    return compared(wanted, Engine(bundle, graph).run(pixels=pixels), graph, "fp32")


def text_parity(model: OpenAutoGLM, tokenizer: Any, bundle: Bundle, graph: Graph, precision: str) -> dict[str, float]:
    """Graph against model on sentences of several lengths, one batch."""
    config = model.config
    batch = tokenizer(
        list(SENTENCES),
        padding="max_length" if config.pad_text else True,
        truncation=True,
        max_length=config.max_text_tokens,
        return_attention_mask=True,
        return_tensors="pt",
    )
    mask = torch.ones_like(batch["input_ids"]) if config.pad_text else batch["attention_mask"]
    inputs = {"input_ids": batch["input_ids"], "attention_mask": mask}
    with torch.no_grad():
        wanted = model.get_text_features(**inputs).numpy()
    got = Engine(bundle, graph).run(**{name: tensor.numpy() for name, tensor in inputs.items()})
    return compared(wanted, got, graph, precision)


def compared(wanted: NDArray[np.float32], got: NDArray[np.float32], graph: Graph, precision: str) -> dict[str, float]:
    """The figures; BundleError where the two are not the same function."""
    cosine = float((wanted * got).sum(axis=-1).min())
    if not cosine >= LOWEST_COSINE[precision]:
        raise BundleError(
            f"The graph {graph.file} differs from its model: lowest cosine {cosine:.4f}, "
            f"allowed {LOWEST_COSINE[precision]}."
        )
    return {"max_difference": float(np.abs(wanted - got).max()), "lowest_cosine": cosine}


def smooth_pictures(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Pictures [count, height, width, 3] of random colour fields, more like photographs than noise is."""
    random = np.random.default_rng(0)
    coarse = torch.from_numpy(random.random((count, 3, 7, 7), dtype=np.float32)) * 255
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 255)
    pixels: NDArray[np.uint8] = fine.permute(0, 2, 3, 1).round().to(torch.uint8).contiguous().numpy()
    return pixels
