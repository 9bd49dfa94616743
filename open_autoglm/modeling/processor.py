"""Pictures and sentences as the model's tensors, in Hugging Face's processor classes.

Pictures go through the same preparation as at run time (``runtime.images``); it knows nothing about the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoProcessor
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor
from transformers.processing_utils import ProcessorMixin

from open_autoglm.bundle import find_bundle
from open_autoglm.runtime.images import ImageSource, Preprocessing, prepare

from .configuration import OpenAutoGLMConfig


class OpenAutoGLMImageProcessor(BaseImageProcessor):
    """Paths, bytes, PIL pictures or arrays to ``pixel_values`` [B, 3, H, W], resized and normalised."""

    model_input_names = ["pixel_values"]  # noqa: RUF012

    def __init__(self, **kwargs: Any) -> None:
        names = [field.name for field in fields(Preprocessing)]
        values = {name: kwargs.pop(name) for name in names if name in kwargs}
        super().__init__(**kwargs)
        for name, value in asdict(Preprocessing(**values)).items() if values else ():
            setattr(self, name, value)

    @property
    def preprocessing(self) -> Preprocessing:
        """The same settings as the runtime reads from a bundle's manifest."""
        values = {field.name: getattr(self, field.name) for field in fields(Preprocessing) if hasattr(self, field.name)}
        values |= {name: tuple(values[name]) for name in ("mean", "std")}
        return Preprocessing(**values)

    def preprocess(
        self, images: ImageSource | Sequence[ImageSource], return_tensors: str | None = None, **_: Any
    ) -> BatchFeature:
        """``pixel_values`` float32 [B, 3, H, W]; ImageError names a picture that cannot be used."""
        settings = self.preprocessing
        batch: Sequence[Any] = images if isinstance(images, list | tuple) else [images]
        values = np.empty((len(batch), 3, settings.height, settings.width), np.float32)
        for planes, image in zip(values, batch, strict=True):
            # One picture at a time, in place: temporaries of a whole batch cost more than the resizing.
            planes[:] = prepare(image, settings).transpose(2, 0, 1)
        for channel, (mean, std) in enumerate(zip(settings.mean, settings.std, strict=True)):
            values[:, channel] -= np.float32(255 * mean)
            values[:, channel] /= np.float32(255 * std)
        return BatchFeature({"pixel_values": values}, tensor_type=return_tensors)


class OpenAutoGLMProcessor(ProcessorMixin):
    """An image processor and a tokenizer in one: ``processor(text=..., images=..., return_tensors="pt")``."""

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        tokenizer.model_input_names = ["input_ids", "attention_mask"]  # BERT's token types are not the model's
        super().__init__(image_processor, tokenizer)

    @classmethod
    def from_pretrained(cls, name: Any, *args: Any, **kwargs: Any) -> OpenAutoGLMProcessor:
        """From a bundle's name or directory, from any directory of ``save_pretrained``, or from a hub id."""
        return super().from_pretrained(find_bundle(name) or name, *args, **kwargs)


def tokenized(
    tokenizer: Any, sentences: Sequence[str], max_tokens: int = 128, pad_text: bool = False
) -> dict[str, Tensor]:
    """``input_ids`` and ``attention_mask`` int64 [B, T] of sentences, cut at ``max_tokens``, as the model takes them.

    With ``pad_text`` (``OpenAutoGLMConfig.pad_text``) they are padded to that, and the padding is attended to.
    """
    batch = tokenizer(
        list(sentences),
        padding="max_length" if pad_text else True,
        truncation=True,
        max_length=max_tokens,
        return_attention_mask=True,
        return_tensors="pt",
    )
    mask = batch["attention_mask"]
    return {"input_ids": batch["input_ids"], "attention_mask": torch.ones_like(mask) if pad_text else mask}


AutoImageProcessor.register(OpenAutoGLMConfig, OpenAutoGLMImageProcessor, exist_ok=True)
AutoProcessor.register(OpenAutoGLMConfig, OpenAutoGLMProcessor, exist_ok=True)
