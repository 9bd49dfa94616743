"""What each graph of a bundle is run with for real pictures and sentences, to calibrate it and to compare it.

It goes the way that the runtime goes, without PyTorch; it knows nothing about quantisation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle
from open_autoglm.runtime.decoding import ImageSource
from open_autoglm.runtime.images import prepare
from open_autoglm.runtime.model import Model
from open_autoglm.runtime.seeing import cells_preprocessing
from open_autoglm.runtime.text import TextTokenizer

from .ranges import Inputs

PICTURE_TASKS = ("image", "cells", "regions", "context")
TOKEN_TASKS = ("text", "answer", "decode")
SENTENCES_AT_ONCE = 8


def picture_inputs(model: Model, task: str, pictures: Sequence[ImageSource]) -> list[Inputs]:
    """What a graph that looks at pictures takes for each of them. ImageError where one cannot be used."""
    if task == "image":
        return [{"pixels": model.prepare(picture)[None]} for picture in pictures]
    if task == "cells":
        larger = cells_preprocessing(model.preprocessing, model.bundle.manifest.cells)
        return [{"pixels": prepare(picture, larger, model.limits)[None]} for picture in pictures]
    proposing = model.fusion if task == "regions" else model.describing
    return [with_boxes(model.prepare(picture), proposing.propose) for picture in pictures]


def with_boxes(pixels: NDArray[np.uint8], propose: object) -> Inputs:
    """A prepared picture with the regions that are proposed for it."""
    assert callable(propose)  # noqa: S101  (every proposer is)
    boxes = propose(pixels)
    return {"pixels": pixels[None], "boxes": boxes[None], "mask": np.ones((1, len(boxes)), np.bool_)}


def text_inputs(bundle: Bundle, sentences: Sequence[str]) -> list[Inputs]:
    """Sentences as token ids and masks, a few at a time. TextError for one that cannot be used."""
    tokenizer = tokenizer_of(bundle)
    encodings = tokenizer.encode(sentences)
    batches = (
        tokenizer.batch(encodings[start : start + SENTENCES_AT_ONCE])
        for start in range(0, len(encodings), SENTENCES_AT_ONCE)
    )
    return [{"input_ids": ids, "attention_mask": mask} for ids, mask in batches]


def tokenizer_of(bundle: Bundle) -> TextTokenizer:
    """What cuts sentences into tokens as the bundle says."""
    settings = bundle.manifest.preprocessing["text"]
    known = {name: settings[name] for name in ("max_tokens", "pad_id", "unknown_id", "pad_all")}
    return TextTokenizer(bundle.path / "tokenizer.json", **known)


def answer_inputs(model: Model, pictures: Sequence[ImageSource], sentences: Sequence[str]) -> list[Inputs]:
    """What the graph of answers takes: every sentence about every picture.

    A picture is held once, however many sentences it is repeated for: an engine copies it as each batch runs.
    """
    asked = text_inputs(model.bundle, sentences)
    made: list[Inputs] = []
    for picture in pictures:
        looked = model.fusion.look(model.fusion.prepare(picture))
        for tokens in asked:
            count = len(tokens["input_ids"])
            prepared = np.broadcast_to(looked.prepared, (count, *looked.prepared.shape[1:]))
            made.append({"prepared": prepared, "mask": np.ones((count, len(looked.boxes)), np.bool_), **tokens})
    return made
