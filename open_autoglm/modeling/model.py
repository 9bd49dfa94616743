"""The Open-AutoGLM model: a picture tower and a text tower that end in one shared space, and decoders on both.

A Hugging Face model in every respect; it knows nothing about files of pictures, indexes or serving.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel, SiglipTextConfig, SiglipTextModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from open_autoglm.bundle import MANIFEST, WEIGHTS, find_bundle, read_manifest
from open_autoglm.errors import BundleError, SettingError
from open_autoglm.runtime import lexicon
from open_autoglm.runtime.generating import Rules, generate
from open_autoglm.runtime.generation_settings import GenerationSettings
from open_autoglm.weights import Weights

from .answering import Answering
from .attention import START, Attention
from .configuration import OpenAutoGLMConfig
from .efficientnet_lite import EfficientNetLiteConfig, EfficientNetLiteModel
from .generation import Generator, TorchSteps
from .heads import ImageConcepts, TextConcepts, make_head
from .narrow_bert import NarrowBertConfig, NarrowBertModel
from .regions import grid_boxes
from .similarity import SIMILARITIES, Bilinear, Features, Parts, unit
from .text import TextEncoder
from .vision import VisionEncoder

AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel, exist_ok=True)
AutoModel.register(NarrowBertConfig, NarrowBertModel, exist_ok=True)
AutoModel.register(SiglipTextConfig, SiglipTextModel, exist_ok=True)  # transformers knows it as half a model only


@dataclass
class OpenAutoGLMOutput(ModelOutput):
    """Unit vectors of both sides, and every picture against every text, scaled by the inverse temperature."""

    image_embeds: Tensor | None = None
    text_embeds: Tensor | None = None
    logits_per_image: Tensor | None = None
    logits_per_text: Tensor | None = None


class OpenAutoGLM(PreTrainedModel):
    """Two towers, each with a head into the shared space of ``config.projection_dim`` dimensions, and how it compares.

    ``similarity`` compares what ``image_side`` and ``text_side`` give. With ``config.fusion`` the model also answers:
    ``encode_image`` and ``encode_text`` give sequences of 768 numbers, which ``forward`` fuses. With
    ``config.generation`` it writes: ``generate``.
    """

    config_class = OpenAutoGLMConfig
    base_model_prefix = "open_autoglm"
    main_input_name = "pixel_values"

    def __init__(self, config: OpenAutoGLMConfig) -> None:
        super().__init__(config)
        self.vision = VisionEncoder(config)
        self.text = TextEncoder(config)
        self.image_head = make_head(config.image_head, self.vision.hidden_size, config, ImageConcepts)
        self.text_head = make_head(config.text_head, self.text.hidden_size, config, TextConcepts)
        self.similarity = SIMILARITIES[config.similarity](config.projection_dim)
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale)).log())
        fusion = config.fusion_settings
        self.answering = None if fusion is None else Answering(self.vision.hidden_size, self.text.hidden_size, fusion)
        writing, words = config.generator_settings, config.text_config.vocab_size
        self.generator = None if writing is None else Generator(self.vision.hidden_size, words, writing)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        # Weights that a checkpoint lacks start here, and a bilinear similarity starts as the cosine.
        super()._init_weights(module)
        if isinstance(module, Bilinear):
            init.eye_(module.matrix)
        if isinstance(module, Attention) and module.bias is not None:
            init.constant_(module.bias, START)
        decoders = [part for part in (self.answering, self.generator) if part is not None]
        if isinstance(module, nn.Linear) and any(module in part.modules() for part in decoders):
            # As wide as each layer allows: BERT's 0.02 takes five times as many steps to learn that a word is a colour.
            # Layer by layer, as modules without weights of their own are passed over where a checkpoint is loaded.
            init.normal_(module.weight, std=(3 * module.in_features) ** -0.5)

    @classmethod
    def from_pretrained(cls, name: Any, *args: Any, **kwargs: Any) -> OpenAutoGLM:
        """From a bundle's name or directory, from any directory of ``save_pretrained``, or from a hub id.

        Raises BundleError for a bundle of int8 graphs alone, which lacks the weights that they were made from.
        """
        folder = find_bundle(name)
        if folder is not None and (folder / MANIFEST).is_file():
            refuse_int8_alone(folder)
        if folder is None or not (folder / WEIGHTS).is_file() or "state_dict" in kwargs:
            return super().from_pretrained(name if folder is None else folder, *args, **kwargs)
        weights = Weights(folder / WEIGHTS)
        if not weights.packed:
            return super().from_pretrained(folder, *args, **kwargs)
        state = {tensor: torch.from_numpy(weights.float32(tensor)) for tensor in weights}
        config = kwargs.pop("config", None) or OpenAutoGLMConfig.from_pretrained(folder)
        return super().from_pretrained(None, *args, config=config, state_dict=state, **kwargs)

    def get_image_views(self, pixel_values: Tensor) -> Tensor:
        """Unit vectors [B, views, projection_dim] of normalised pixels [B, 3, H, W]: the whole, then the regions."""
        return self._views(*self.vision(pixel_values))

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Unit vectors [B, projection_dim] of whole pictures, normalised pixels [B, 3, H, W]."""
        return self._views(*self.vision(pixel_values, regions=False))[:, 0]

    def _views(self, whole: Tensor, regions: Tensor) -> Tensor:
        """Features of the whole at each of its sizes, and of the regions, as the shared space's unit vectors."""
        vectors = unit(self.image_head(torch.cat([whole, regions], dim=1)))
        sizes = whole.shape[1]
        middle = unit(vectors[:, :sizes].mean(dim=1, keepdim=True))
        around = unit(vectors[:, sizes:] + self.config.region_context * middle)
        return torch.cat([middle, around], dim=1)

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Unit vectors [B, projection_dim] of sentences, token ids and mask [B, T]."""
        return unit(self.text_head(self.text(input_ids, attention_mask)))

    def image_side(self, pixel_values: Tensor) -> Features:
        """Pictures as ``similarity`` compares them, in float32; without regions, the whole is the only one."""
        if not self.similarity.needs_parts:
            return Features(self.get_image_features(pixel_values).float())
        views = self.get_image_views(pixel_values).float()
        regions = views[:, 1:] if views.shape[1] > 1 else views
        return Features(views[:, 0], Parts(regions, regions.new_ones(regions.shape[:2], dtype=torch.bool)))

    def text_side(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Features:
        """Sentences as ``similarity`` compares them, in float32; every token that is attended to is a word."""
        if not self.similarity.needs_parts:
            return Features(self.get_text_features(input_ids, attention_mask).float())
        sentences, tokens = (
            unit(self.text_head(features)).float() for features in self.text.with_tokens(input_ids, attention_mask)
        )
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return Features(sentences, Parts(tokens, mask.bool()))

    def align(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
    ) -> OpenAutoGLMOutput:
        """Both sides and their similarities: ``logits_per_image`` is [pictures, texts]."""
        images = self.image_side(pixel_values)
        texts = self.text_side(input_ids, attention_mask)
        logits = self.logit_scale.exp() * self.similarity(images, texts)
        return OpenAutoGLMOutput(
            image_embeds=images.whole, text_embeds=texts.whole, logits_per_image=logits, logits_per_text=logits.T
        )

    def encode_image(self, pixel_values: Tensor, boxes: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Region features [B, k, 768] of normalised pixels [B, 3, H, W].

        ``boxes`` [B, k, 4]: left, top, right, bottom, as fractions of the picture; None takes the whole and the cells
        of a grid. ``mask`` [B, k]: which of them there are; None: all.
        """
        features = self.vision.features(pixel_values)
        regions: Tensor = self.fused.regions(features, *given_boxes(features, boxes, mask))
        return regions

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Token features [B, T, 768] of token ids and mask [B, T]."""
        tokens: Tensor = self.fused.tokens(self.text.with_tokens(input_ids, attention_mask)[1])
        return tokens

    def forward(
        self,
        image_features: Tensor,
        text_features: Tensor,
        image_mask: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """Logits [B, answers] of ``encode_image``'s and ``encode_text``'s features; argmax is the place in ``answers``.

        The masks [B, k] and [B, T] say which regions and tokens there are; None: all.
        """
        image_mask, text_mask = (
            features.new_ones(features.shape[:2], dtype=torch.bool) if mask is None else mask.bool()
            for features, mask in ((image_features, image_mask), (text_features, text_mask))
        )
        prepared = self.fused.fusion.prepare(image_features, image_mask)
        return self.fused.judge(prepared, image_mask, text_features, text_mask).answers

    @torch.no_grad()
    def generate(
        self,
        pixel_values: Tensor,
        boxes: Tensor | None = None,
        mask: Tensor | None = None,
        prompt_ids: Sequence[int] = (),
        generation: GenerationSettings | None = None,
    ) -> list[list[int]]:
        """A text for each of the pictures [B, 3, H, W], as the tokenizer's ids, without the prompt.

        ``boxes`` and ``mask`` as in ``encode_image``; ``prompt_ids``: what every text begins with, without the
        tokenizer's special tokens. SettingError for a prompt that leaves no room.
        """
        writer, settings = self.writer, generation or GenerationSettings()
        prompt = [lexicon.START, *writer.lexicon.places(prompt_ids)]
        rules = Rules.fitting(lexicon.END, lexicon.NEVER, writer.settings.most_tokens, len(prompt) - 1, settings)
        features = self.vision.features(pixel_values)
        boxes, there = given_boxes(features, boxes, mask)
        contexts = writer.decoder.prepare(writer.regions(features, boxes, there))
        steps = (TorchSteps(writer.decoder, contexts[row, None], there[row, None]) for row in range(len(contexts)))
        return [writer.lexicon.tokens(generate(one, prompt, rules).tokens) for one in steps]

    @property
    def answers(self) -> tuple[str, ...]:
        """What ``forward`` chooses from."""
        return self.fused.settings.answers

    @property
    def fused(self) -> Answering:
        """The part that answers. SettingError for a model that only aligns."""
        if self.answering is None:
            raise SettingError("This model has no fusion decoder: train one, with model.config.fusion in the recipe.")
        return self.answering

    @property
    def writer(self) -> Generator:
        """The part that writes. SettingError for a model without."""
        if self.generator is None:
            raise SettingError("This model does not write: train it to, with task: describe in the recipe.")
        return self.generator


def given_boxes(features: Tensor, boxes: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Boxes [B, k, 4] and mask [B, k] of pictures with these features; None: a grid, and all of them."""
    boxes = grid_boxes(features) if boxes is None else boxes
    return boxes, boxes.new_ones(boxes.shape[:2], dtype=torch.bool) if mask is None else mask


AutoConfig.register(OpenAutoGLMConfig.model_type, OpenAutoGLMConfig, exist_ok=True)
AutoModel.register(OpenAutoGLMConfig, OpenAutoGLM, exist_ok=True)


def refuse_int8_alone(folder: Path) -> None:
    """Raises BundleError where a bundle's float graphs, and the weights that only they need, were left out."""
    graphs = read_manifest(folder).graphs
    if any("fp32" not in precisions for precisions in graphs.values()):
        raise BundleError(
            f"The bundle {folder} holds int8 graphs alone, without the weights that PyTorch needs: "
            "use the bundle that it was made from."
        )
