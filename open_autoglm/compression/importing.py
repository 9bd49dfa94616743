"""Turns a dual-encoder checkpoint of Hugging Face (CLIP, SigLIP, ViT+BERT) into a bundle.

Its towers are taken over as they are; the graphs are checked against them before the bundle is put in place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transformers import AutoConfig, AutoModel, AutoProcessor, PreTrainedModel

from open_autoglm.errors import BundleError
from open_autoglm.modeling import (
    OpenAutoGLM,
    OpenAutoGLMConfig,
    OpenAutoGLMImageProcessor,
    OpenAutoGLMProcessor,
)

from .bundling import make_bundle

RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # PIL.Image.Resampling


@dataclass(frozen=True)
class Family:
    """How a kind of checkpoint ends: where its towers lie, and how each is pooled and projected.

    ``towers`` are attribute names (vision, text); ``projections`` too, or None where the tower's pooled vector is
    already in the shared space. ``pads_to_length``: its text tower was trained on sentences padded to full length and
    attends to the padding.
    """

    towers: tuple[str, str]
    projections: tuple[str, str] | None
    head: Literal["linear", "none"]
    template: str
    pads_to_length: bool = False


DUAL = Family(("vision_model", "text_model"), ("visual_projection", "text_projection"), "linear", "a photo of a {}")
SIGLIP = Family(("vision_model", "text_model"), None, "none", "This is a photo of {}.", pads_to_length=True)
FAMILIES: dict[str, Family] = {
    "clip": DUAL,
    "vision-text-dual-encoder": DUAL,
    "siglip": SIGLIP,
    "siglip2": SIGLIP,
}


def import_checkpoint(source: str, target: Path, name: str | None = None) -> Path:
    """Writes the bundle ``target`` from a checkpoint directory or hub id, and returns its path.

    Raises BundleError where the checkpoint cannot be read or is of a kind that this program does not know.
    """
    config, model, files = read_checkpoint(source)
    family = FAMILIES[config.model_type]
    made = assemble(model, config, family)
    processor = OpenAutoGLMProcessor(image_processor(files.image_processor, source), files.tokenizer)
    label = name or re.sub(r"[^\w.-]+", "-", source.rstrip("/").rsplit("/", 1)[-1])
    return make_bundle(
        made,
        processor,
        target,
        label,
        sources=({"what": f"{config.model_type} checkpoint", "from": source, "licence": "as its publisher says"},),
        card=f"# {label}\n\nMade from the {config.model_type} checkpoint `{source}` by `autoglm import`.\n",
        template=family.template,
    )


def read_checkpoint(source: str) -> tuple[Any, PreTrainedModel, Any]:
    """Configuration, model and processor of a checkpoint of a known family."""
    try:
        config = AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise BundleError(f"{source} cannot be read as a Hugging Face checkpoint: {first_sentence(error)}") from error
    if config.model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise BundleError(f"{source} is a {config.model_type} checkpoint; what can be imported is: {known}.")
    try:
        return config, AutoModel.from_pretrained(source).eval(), AutoProcessor.from_pretrained(source)
    except (OSError, ValueError, RuntimeError) as error:
        raise BundleError(f"{source} is incomplete: {first_sentence(error)}") from error


def assemble(model: PreTrainedModel, config: Any, family: Family) -> OpenAutoGLM:
    """The same towers and projections as an OpenAutoGLM."""
    dual = OpenAutoGLM(
        OpenAutoGLMConfig(
            vision_config=config.vision_config,
            text_config=config.text_config,
            projection_dim=config.projection_dim if family.projections else config.vision_config.hidden_size,
            image_pooling="pooler",
            text_pooling="pooler",
            image_head=family.head,
            text_head=family.head,
            max_text_tokens=config.text_config.max_position_embeddings,
            pad_text=family.pads_to_length,
        )
    ).eval()
    for tower, attribute in zip((dual.vision.tower, dual.text.tower), family.towers, strict=True):
        tower.load_state_dict(getattr(model, attribute).state_dict())
    for head, attribute in zip((dual.image_head, dual.text_head), family.projections or (), strict=False):
        head.load_state_dict(getattr(model, attribute).state_dict())
    dual.logit_scale.data.copy_(model.logit_scale.data.reshape(()))
    return dual


def image_processor(published: Any, source: str) -> OpenAutoGLMImageProcessor:
    """The same resizing and normalisation as the checkpoint's own image processor."""
    size, crop = dict(published.size), dict(getattr(published, "crop_size", None) or {})
    cropped = bool(getattr(published, "do_center_crop", False)) and bool(crop)
    goal = crop if cropped else size
    if not {"height", "width"} <= set(goal):
        raise BundleError(f"{source} prepares pictures of varying size ({goal}), which this program cannot export.")
    crop_from = size.get("shortest_edge") or size.get("height") if cropped else None
    return OpenAutoGLMImageProcessor(
        height=goal["height"],
        width=goal["width"],
        resize="crop" if cropped else "squash",
        resample=RESAMPLE[int(published.resample)],
        mean=tuple(published.image_mean) if getattr(published, "do_normalize", True) else (0.0,) * 3,
        std=tuple(published.image_std) if getattr(published, "do_normalize", True) else (1.0,) * 3,
        crop_from=crop_from,
    )


def first_sentence(error: Exception) -> str:
    """The first line of a library's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
