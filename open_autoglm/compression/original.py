"""A finished bundle against the checkpoint it came from: the same pictures and sentences through both.

It knows the checkpoint's own model and processor; it knows nothing about how the bundle was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from open_autoglm.bundle import Bundle
from open_autoglm.errors import BundleError, TextError
from open_autoglm.runtime.model import Model

from .parity import smooth_pictures
from .sentences import SENTENCES

# Two correct resizers round a pixel differently; a sentence has no such excuse.
LOWEST_COSINE = {"pictures": 0.999, "sentences": 0.9999}
SIZES = ((300, 420), (512, 352), (200, 200))


@dataclass(frozen=True)
class Original:
    """A dual encoder of Hugging Face with its own processor; ``pads_to_length``: it reads sentences padded to full."""

    model: Any
    processor: Any
    max_tokens: int
    pads_to_length: bool

    @torch.no_grad()
    def pictures(self, images: list[Image.Image]) -> NDArray[np.float32]:
        """Unit vectors [n, dimension]."""
        batch = self.processor.image_processor(images=images, return_tensors="pt")
        return unit(self.model.get_image_features(pixel_values=batch["pixel_values"]))

    @torch.no_grad()
    def sentence(self, text: str) -> NDArray[np.float32]:
        """The unit vector [1, dimension] of one sentence."""
        batch = self.processor.tokenizer(
            [text],
            padding="max_length" if self.pads_to_length else False,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        )
        mask = None if self.pads_to_length else batch["attention_mask"]
        return unit(self.model.get_text_features(input_ids=batch["input_ids"], attention_mask=mask))


def check_against(original: Original, folder: Path) -> None:
    """Raises BundleError where the bundle in ``folder`` does not give the vectors of its original."""
    model = Model(Bundle.open(folder))
    images = [Image.fromarray(smooth_pictures(1, *size)[0]) for size in SIZES]
    agree("pictures", original.pictures(images), model.embed_images(images))
    wanted, got = [], []
    for text in SENTENCES:
        try:
            got.append(model.embed_texts([text]))
        except TextError:  # no tokenizer knows all of them
            continue
        wanted.append(original.sentence(text))
    if not got:
        raise BundleError("The checkpoint's tokenizer knows no word of any sentence: its vocabulary is missing.")
    agree("sentences", np.concatenate(wanted), np.concatenate(got))


def agree(what: str, wanted: NDArray[np.float32], got: NDArray[np.float32]) -> None:
    """Refuses vectors [n, dimension] that are not those wanted."""
    if wanted.shape != got.shape:
        raise BundleError(f"The bundle gives vectors {got.shape} of {what} where its checkpoint gives {wanted.shape}.")
    lowest = float((wanted * got).sum(axis=-1).min())
    if not lowest >= LOWEST_COSINE[what]:
        raise BundleError(
            f"The bundle would embed {what} unlike its checkpoint (lowest cosine {lowest:.4f}, allowed "
            f"{LOWEST_COSINE[what]}): this program does not know all that the checkpoint does with them."
        )


def unit(output: Any) -> NDArray[np.float32]:
    """The features of a model's answer, which may be wrapped, at unit length."""
    features = getattr(output, "pooler_output", output)
    vectors: NDArray[np.float32] = torch.nn.functional.normalize(features.float(), dim=-1).numpy()
    return vectors
