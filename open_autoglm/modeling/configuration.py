"""The configuration of Open-AutoGLM: two towers of any Hugging Face kind and how each ends in the shared space.

It knows nothing about weights, files or preprocessing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, Literal, TypeVar

from transformers import AutoConfig, PreTrainedConfig

from open_autoglm.errors import SettingError

from .efficientnet_lite import EfficientNetLiteConfig
from .fusion_settings import FusionSettings
from .generator_settings import GeneratorSettings
from .narrow_bert import NarrowBertConfig

T = TypeVar("T")

AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig, exist_ok=True)
AutoConfig.register(NarrowBertConfig.model_type, NarrowBertConfig, exist_ok=True)


class OpenAutoGLMConfig(PreTrainedConfig):
    """Towers, pooling and heads.

    - ``vision_config``, ``text_config``: of any Hugging Face backbone that ``AutoModel`` builds.
    - ``projection_dim``: width of the shared space; both towers end there at unit length.
    - ``image_pooling``: ``map`` averages a convolutional feature map and allows regions; ``pooler`` takes the
      tower's own pooled vector.
    - ``text_pooling``: ``mean`` over the tokens, the ``first`` token, or the tower's own ``pooler``.
    - ``image_head``, ``text_head``: ``linear`` (without bias), ``affine`` (with), ``none`` (the tower already ends in
      the shared space) or ``concepts``: places among the names of the picture tower's classes (see ``heads``).
    - ``concepts``, ``concept_temperature``, ``concept_top_k``: classes of that head, softening of their scores, and
      how many of the best take part. ``appearance_dim``: dimensions of the shared space for how classes look, 0 for
      none; ``concept_width``: how far a class's name reaches in telling it;
      ``added_names``: how many names it knows the looks of beside the classes'.
    - ``whole_sizes``: sides in pixels to which the picture is brought for its whole vector, the mean of theirs; empty
      takes it as it comes.
    - ``region_grids``: grids of regions beside the whole picture, each ``[size, cells]``: the side in pixels to which
      the picture is brought for it, and the cells a side.
    - ``region_context``: how much of the whole picture's vector is added to each region's.
    - ``similarity``: how texts are compared with pictures, a key of ``similarity.SIMILARITIES``; bilinear has weights.
    - ``fusion``: a fusion decoder's FusionSettings, by name; None for a model that only aligns. ``aligned``: whether
      the shared space means anything; a model that was trained on questions alone has none.
    - ``generation``: GeneratorSettings of a decoder that writes, by name; None for a model that does not.
    - ``max_text_tokens``: longer sentences are cut; with ``pad_text`` shorter ones are padded to it and the padding
      is attended to, as SigLIP was trained.
    """

    model_type = "open_autoglm"
    sub_configs = {"vision_config": AutoConfig, "text_config": AutoConfig}  # noqa: RUF012

    def __init__(
        self,
        vision_config: PreTrainedConfig | dict[str, Any] | None = None,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        projection_dim: int = 512,
        image_pooling: Literal["map", "pooler"] = "map",
        text_pooling: Literal["mean", "first", "pooler"] = "mean",
        image_head: Literal["linear", "affine", "none", "concepts"] = "linear",
        text_head: Literal["linear", "affine", "none", "concepts"] = "linear",
        concepts: int = 1000,
        concept_temperature: float = 1.5,
        concept_top_k: int = 50,
        appearance_dim: int = 0,
        concept_width: float = 0.3,
        added_names: int = 0,
        whole_sizes: Sequence[int] = (),
        region_grids: Sequence[Sequence[int]] = (),
        region_context: float = 0.0,
        max_text_tokens: int = 128,
        pad_text: bool = False,
        similarity: Literal["cosine", "euclidean", "bilinear", "region_word"] = "cosine",
        logit_scale: float = 100.0,
        fusion: Mapping[str, Any] | None = None,
        generation: Mapping[str, Any] | None = None,
        aligned: bool = True,
        **kwargs: Any,
    ) -> None:
        self.vision_config = as_config(vision_config, EfficientNetLiteConfig.model_type)
        self.text_config = as_config(text_config, "bert")
        self.projection_dim = projection_dim
        self.image_pooling = image_pooling
        self.text_pooling = text_pooling
        self.image_head = image_head
        self.text_head = text_head
        self.concepts = concepts
        self.concept_temperature = concept_temperature
        self.concept_top_k = concept_top_k
        self.appearance_dim = appearance_dim
        self.concept_width = concept_width
        self.added_names = added_names
        self.whole_sizes = list(whole_sizes)
        self.region_grids = [list(grid) for grid in region_grids]
        self.region_context = region_context
        self.max_text_tokens = max_text_tokens
        self.pad_text = pad_text
        self.similarity = similarity
        self.logit_scale = logit_scale
        self.fusion = None if fusion is None else dict(fusion)
        self.generation = None if generation is None else dict(generation)
        self.aligned = aligned
        super().__init__(**kwargs)

    @property
    def fusion_settings(self) -> FusionSettings | None:
        """``fusion`` checked. SettingError for a name or value that does not fit."""
        return None if self.fusion is None else checked(FusionSettings, self.fusion, "fusion")

    @property
    def generator_settings(self) -> GeneratorSettings | None:
        """``generation`` checked. SettingError for a name or value that does not fit."""
        return None if self.generation is None else checked(GeneratorSettings, self.generation, "generation")

    @property
    def views(self) -> int:
        """Vectors a picture: the whole, then the regions, grid by grid and row by row."""
        return 1 + sum(cells**2 for _, cells in self.region_grids)


def as_config(value: PreTrainedConfig | dict[str, Any] | None, default: str) -> PreTrainedConfig:
    """A tower's configuration from itself, from its dictionary, or the default of a model type."""
    if isinstance(value, PreTrainedConfig):
        return value
    fields = dict(value or {})
    return AutoConfig.for_model(fields.pop("model_type", default), **fields)


def checked(kind: type[T], given: Mapping[str, Any], what: str) -> T:
    """Settings of a dataclass by their names. SettingError for a name that it does not have."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            advice = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}."
            raise SettingError(f"{what} has no setting {name}; {advice}")
    return kind(**given)
