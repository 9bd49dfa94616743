"""Ways to answer a question about a photo with one bundle: this runtime, in float and in int8, and torch."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from open_autoglm.compression.parity import normalised
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMProcessor
from open_autoglm.runtime.model import load

Ask = Callable[[], str]
QUESTION = "What is this?"


def sides(bundle: str, photo: Path, threads: int) -> dict[str, Ask]:
    """By name, what answers a question about a 640 x 480 JPEG from its bytes; in int8 where the bundle has it."""
    opened = io.BytesIO()
    with Image.open(photo) as picture:
        picture.convert("RGB").resize((640, 480)).save(opened, "JPEG", quality=90)
    data = opened.getvalue()
    model = load(bundle, precision="fp32", threads=threads)
    usual = load(bundle, threads=threads)
    torch_model = OpenAutoGLM.from_pretrained(bundle).eval()
    processor = OpenAutoGLMProcessor.from_pretrained(bundle)

    def runtime() -> str:
        return model.ask(data, QUESTION).text or ""

    def int8() -> str:
        return usual.ask(data, QUESTION).text or ""

    @torch.no_grad()
    def eager() -> str:
        pixels = model.fusion.prepare(data)
        boxes = torch.from_numpy(model.fusion.propose(pixels))[None]
        words = processor.tokenizer([QUESTION], return_tensors="pt")
        logits = torch_model(
            torch_model.encode_image(normalised(pixels[None], model.preprocessing), boxes),
            torch_model.encode_text(words["input_ids"], words["attention_mask"]),
        )
        chances = (logits[0] / model.fusion.temperature).softmax(dim=0)
        best = int(chances.argmax())
        return torch_model.answers[best] if float(chances[best]) >= model.fusion.least else ""

    quantised = any("int8" in graphs for graphs in usual.bundle.manifest.graphs.values())
    return {"runtime": runtime, **({"int8": int8} if quantised else {}), "torch": eager}
