"""Pictures and sentences on which a model is pruned and recovers, as its towers take them.

It knows the processor; it knows nothing about pruning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TypeVar

from torch import Tensor

from open_autoglm.errors import SettingError
from open_autoglm.modeling import OpenAutoGLMConfig, OpenAutoGLMProcessor
from open_autoglm.modeling.processor import tokenized
from open_autoglm.modeling.vision import resized
from open_autoglm.runtime.images import ImageSource

T = TypeVar("T")
Batches = tuple[tuple[Tensor, ...], ...]


@dataclass(frozen=True)
class Calibration:
    """``pictures``: batches of normalised pixels [B, 3, H, W]; ``sentences``: of token ids and masks [B, T]."""

    pictures: Batches = ()
    sentences: Batches = ()

    @classmethod
    def of(
        cls,
        processor: OpenAutoGLMProcessor,
        config: OpenAutoGLMConfig,
        pictures: Sequence[ImageSource] = (),
        sentences: Sequence[str] = (),
        sizes: Sequence[int] = (224,),
        batch: int = 16,
    ) -> Calibration:
        """Prepares pictures as the model sees them, batches of them in turn at each of ``sizes``, and sentences.

        ImageError names a picture that cannot be used.
        """
        shown = tuple(
            (resized(processor.image_processor(list(part), return_tensors="pt")["pixel_values"], size),)
            for size, part in zip(cycle(sizes), parts(pictures, batch), strict=False)
        )
        said = tuple(
            tuple(tokenized(processor.tokenizer, part, config.max_text_tokens, config.pad_text).values())
            for part in parts(sorted(sentences, key=len), batch)
        )
        return cls(shown, said)

    def batches(self, tower: str) -> Batches:
        """Those of the tower ``vision`` or ``text``. SettingError where there are none."""
        found = self.pictures if tower == "vision" else self.sentences
        if not found:
            what = "pictures" if tower == "vision" else "sentences"
            raise SettingError(f"There are no {what} to calibrate on: give some that are like those of its use.")
        return found


def parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Up to ``size`` items at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))
