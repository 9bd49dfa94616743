"""Turns a dual-encoder checkpoint of Hugging Face (CLIP, SigLIP, ViT+BERT) into a bundle.

Its towers are taken over as they are; the graphs are checked against them before the bundle is put in place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoProcessor, PreTrainedModel
from transformers.utils import cached_file

from open_autoglm.bundle import check_target
from open_autoglm.errors import BundleError
from open_autoglm.modeling import (
    OpenAutoGLM,
    OpenAutoGLMConfig,
    OpenAutoGLMImageProcessor,
    OpenAutoGLMProcessor,
)

from .bundling import make_bundle
from .original import Original, check_against

RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # PIL.Image.Resampling
# Any of these holds a vocabulary; without one transformers makes an empty tokenizer.
VOCABULARIES = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)


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

    Raises BundleError where the checkpoint cannot be read, is incomplete or of a kind that this program does not
    know, where the bundle does not give the checkpoint's own vectors, or where ``target`` exists.
    """
    if not source:
        raise BundleError("The checkpoint's name is empty: give its directory or hub id.")
    check_target(target)
    config, model, files = read_checkpoint(source)
    family = FAMILIES[config.model_type]
    made = assemble(model, config, family, token_limit(model, files.tokenizer))
    processor = OpenAutoGLMProcessor(image_processor(files.image_processor, source), files.tokenizer)
    label = name or re.sub(r"[^\w.-]+", "-", source.rstrip("/").rsplit("/", 1)[-1])
    original = Original(model, files, made.config.max_text_tokens, family.pads_to_length)
    return make_bundle(
        made,
        processor,
        target,
        label,
        sources=({"what": f"{config.model_type} checkpoint", "from": source, "licence": "as its publisher says"},),
        card=f"# {label}\n\nMade from the {config.model_type} checkpoint `{source}` by `autoglm import`.\n",
        template=family.template,
        finish=lambda folder: check_against(original, folder),
    )


def read_checkpoint(source: str) -> tuple[Any, PreTrainedModel, Any]:
    """Configuration, model and processor of a checkpoint of a known family; nothing in it is executed."""
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise BundleError(f"{source} cannot be read as a Hugging Face checkpoint: {first_sentence(error)}") from error
    if config.model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise BundleError(f"{source} is a {config.model_type} checkpoint; what can be imported is: {known}.")
    if not any(has_file(source, name) for name in VOCABULARIES):
        raise BundleError(f"{source} has no tokenizer: put its tokenizer.json beside its config.json.")
    model = read_model(source)
    try:
        return config, model, AutoProcessor.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise BundleError(f"{source} is incomplete: {first_sentence(error)}") from error


def read_model(source: str) -> PreTrainedModel:
    """The checkpoint's own model with all of its weights as float32, read from safetensors alone."""
    try:
        model, found = AutoModel.from_pretrained(
            source, trust_remote_code=False, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        if has_file(source, "pytorch_model.bin") and not has_file(source, "model.safetensors"):
            raise BundleError(
                f"{source} has its weights in pytorch_model.bin alone, which may hold code and is not read: "
                "save it as safetensors with transformers first."
            ) from error
        raise BundleError(f"The weights of {source} cannot be read: {first_sentence(error)}") from error
    lacking = sorted({str(name) for key in ("missing_keys", "mismatched_keys") for name in found[key]})
    if lacking:
        raise BundleError(f"{source} lacks {len(lacking)} of its model's tensors, the first being {lacking[0]}.")
    return model.eval()


def has_file(source: str, name: str) -> bool:
    """Whether a checkpoint, directory or hub id, has a file."""
    try:
        return cached_file(source, name) is not None
    except OSError:
        return False


def token_limit(model: PreTrainedModel, tokenizer: Any) -> int:
    """How many tokens the text tower takes: its places, less those that RoBERTa's kind keeps for padding."""
    text = model.text_model
    places = getattr(text.config, "max_position_embeddings", None) or 512
    for name, module in text.named_modules():
        padding = getattr(module, "padding_idx", None)
        if name.endswith("position_embeddings") and padding is not None:
            places -= padding + 1
    return min(places, int(tokenizer.model_max_length))


def assemble(model: PreTrainedModel, config: Any, family: Family, max_tokens: int) -> OpenAutoGLM:
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
            max_text_tokens=max_tokens,
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
    size = dict(getattr(published, "size", None) or {})
    crop = dict(getattr(published, "crop_size", None) or {})
    cropped = bool(getattr(published, "do_center_crop", False)) and bool(crop)
    goal = crop if cropped else size
    if not {"height", "width"} <= set(goal):
        raise BundleError(f"{source} prepares pictures of varying size ({goal}), which this program cannot export.")
    number: Any = getattr(published, "resample", None)
    if number not in RESAMPLE:
        known = ", ".join(RESAMPLE.values())
        raise BundleError(f"{source} resizes pictures by {number!r}; what is known is: {known}.")
    crop_from = size.get("shortest_edge") or size.get("height") if cropped else None
    return OpenAutoGLMImageProcessor(
        height=goal["height"],
        width=goal["width"],
        resize="crop" if cropped else "squash",
        resample=RESAMPLE[number],
        mean=tuple(published.image_mean) if getattr(published, "do_normalize", True) else (0.0,) * 3,
        std=tuple(published.image_std) if getattr(published, "do_normalize", True) else (1.0,) * 3,
        crop_from=crop_from,
    )


def first_sentence(error: Exception) -> str:
    """The first line of a library's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
