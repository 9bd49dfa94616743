"""From a recipe to what is trained: the model and its processor, similarity, objective, frozen parts.

It knows where models come from; it knows nothing about data or the training loop.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, get_type_hints

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from open_autoglm.bundle import find_bundle
from open_autoglm.errors import BundleError, SettingError
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMConfig, OpenAutoGLMImageProcessor, OpenAutoGLMProcessor
from open_autoglm.modeling.configuration import as_config
from open_autoglm.objectives import OBJECTIVES, MomentumSchedule, WeightedSum
from open_autoglm.runtime.images import Preprocessing

from .module import TrainingModule
from .reading import convert, reason, unknown
from .recipe import ModelSettings, ObjectiveSettings, Recipe, Towers
from .task import Task


def build_model(settings: ModelSettings) -> tuple[OpenAutoGLM, OpenAutoGLMProcessor]:
    """The model where a training starts, and the processor of its bundle."""
    disable_progress_bar()
    check_config(settings.config)
    towers = settings.towers
    model, processor = started(settings) if towers is None else from_towers(towers, settings)
    return model, processor if settings.picture_size is None else at_size(processor, settings.picture_size)


def started(settings: ModelSettings) -> tuple[OpenAutoGLM, OpenAutoGLMProcessor]:
    """A model of a bundle or hub id; heads of another kind than there start at random."""
    start = str(settings.start)
    folder = find_bundle(start)
    try:
        config = OpenAutoGLMConfig.from_pretrained(folder or start)
        for name, value in config_changes(settings).items():
            setattr(config, name, value)
        model = OpenAutoGLM.from_pretrained(start, config=config)
        if "logit_scale" in settings.config:
            model.logit_scale.data.fill_(math.log(config.logit_scale))
        processor = OpenAutoGLMProcessor.from_pretrained(folder or start)
    except (OSError, ValueError, RuntimeError) as error:
        if "mismatched_sizes" in str(error):  # which transformers advises to ignore
            raise BundleError(
                f"model.start is {start!r}, some of whose weights have other sizes than model.config asks for: take "
                "out there what differs, or start from another bundle."
            ) from error
        raise BundleError(f"model.start is {start!r}, which cannot be loaded: {reason(error)}.") from error
    return model, processor


def build_tokenizer(settings: ModelSettings) -> Any:
    """The tokenizer of the model where a training starts."""
    if settings.towers is not None:
        return towers_tokenizer(settings.towers)
    start = str(settings.start)
    try:
        return OpenAutoGLMProcessor.from_pretrained(find_bundle(start) or start).tokenizer
    except (OSError, ValueError) as error:
        raise BundleError(f"model.start is {start!r}, which cannot be loaded: {reason(error)}.") from error


def towers_tokenizer(towers: Towers) -> Any:
    """The tokenizer that a recipe names, or that of its text tower."""
    source = towers.tokenizer or towers.text
    if not isinstance(source, str):
        raise SettingError("model.towers.tokenizer is missing: name a directory or hub id that has one.")
    try:
        return AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise SettingError(f"model.towers cannot be loaded: {reason(error)}.") from error


def config_changes(settings: ModelSettings) -> dict[str, Any]:
    """What a recipe sets of OpenAutoGLMConfig."""
    return {**settings.config, "similarity": settings.similarity}


def decoder_of(start: str | None, part: str) -> dict[str, Any]:
    """The settings of the decoder, ``fusion`` or ``generation``, that a bundle or hub id has; empty without one."""
    if start is None:
        return {}
    try:
        return dict(getattr(OpenAutoGLMConfig.from_pretrained(find_bundle(start) or start), part) or {})
    except (OSError, ValueError):
        return {}  # what is wrong with it is said where it is loaded


def from_towers(towers: Towers, settings: ModelSettings) -> tuple[OpenAutoGLM, OpenAutoGLMProcessor]:
    """A model of two towers, pretrained or not, and heads that start at random."""
    try:
        vision, text = (tower(source) for source in (towers.vision, towers.text))
        config = OpenAutoGLMConfig(vision_config=vision.config, text_config=text.config, **config_changes(settings))
    except (OSError, ValueError) as error:
        raise SettingError(f"model.towers cannot be loaded: {reason(error)}.") from error
    tokenizer = towers_tokenizer(towers)
    model = OpenAutoGLM(config)
    model.vision.tower.load_state_dict(vision.state_dict())
    model.text.tower.load_state_dict(text.state_dict())
    height, width = towers.size if isinstance(towers.size, tuple) else (towers.size, towers.size)
    prepared = Preprocessing(height, width, towers.resize, towers.mean, towers.std)
    return model, OpenAutoGLMProcessor(OpenAutoGLMImageProcessor(**asdict(prepared)), tokenizer)


def tower(source: str | Mapping[str, Any]) -> Any:
    """A tower with its weights, or a random one of a configuration."""
    if isinstance(source, str):
        return AutoModel.from_pretrained(source)
    return AutoModel.from_config(as_config(dict(source), ""))


def build_module(recipe: Recipe, task: Task, model: OpenAutoGLM, used: Preprocessing) -> TrainingModule:
    """The model with all that is trained beside it, its frozen parts frozen; ``used``: its pictures' preparation."""
    average = recipe.optimisation.average
    if recipe.optimisation.checkpointing:
        recompute_activations(model)
    encoder = task.encoder(model)
    leave_out_unused(model, lambda: task.probe(encoder, used))
    frozen = freeze(model, recipe.optimisation.frozen)
    if recipe.optimisation.fixed_statistics:
        frozen += [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    return TrainingModule(
        encoder,
        task.objective(recipe, model.config.projection_dim),
        recipe.momentum,
        MomentumSchedule(0.0, average.decay, average.warmup_steps) if average else None,
        frozen,
    )


def build_objective(chosen: Sequence[ObjectiveSettings], width: int) -> Any:
    """One objective, or the weighted sum of several."""
    parts: dict[str, Any] = {}
    weights: dict[str, float] = {}
    for number, one in enumerate(chosen):
        name = one.name if one.name not in parts else f"{one.name}_{number}"
        parts[name], weights[name] = single_objective(one, width), one.weight
    return next(iter(parts.values())) if len(parts) == 1 else WeightedSum(parts, weights)


def single_objective(chosen: ObjectiveSettings, width: int) -> Any:
    """An objective by name, its settings checked against its constructor."""
    known = [name for name in OBJECTIVES if name != "weighted_sum"]
    if chosen.name not in known:
        near = difflib.get_close_matches(chosen.name, known, 1)
        advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
        raise SettingError(f"There is no objective {chosen.name}; {advice}")
    kind = OBJECTIVES[chosen.name]
    takes = [name for name in inspect.signature(kind).parameters if name != "dimension"]
    hints = get_type_hints(kind.__init__)
    for name in chosen.settings:
        if name not in takes:
            raise SettingError(unknown(name, takes or ["none"], "objective.settings"))
    settings = {
        name: convert(value, hints[name], f"objective.settings.{name}") for name, value in chosen.settings.items()
    }
    return kind(**settings, **({"dimension": width} if "dimension" in hints else {}))


def training_processor(recipe: Recipe, model: OpenAutoGLM, processor: OpenAutoGLMProcessor) -> OpenAutoGLMProcessor:
    """The processor with pictures of the size that is trained on: no larger than what the whole picture's vector sees.

    Regions need the size in use.
    """
    whole = None if recipe.model.similarity == "region_word" else max(model.config.whole_sizes, default=None)
    side = recipe.model.training_size or whole
    return processor if side is None else at_size(processor, side)


def at_size(processor: OpenAutoGLMProcessor, side: int) -> OpenAutoGLMProcessor:
    """The processor with square pictures of another size; one of other shapes stays as it is."""
    used = processor.image_processor.preprocessing
    if used.height != used.width:
        return processor
    crop = round(used.crop_from * side / used.height) if used.crop_from else None
    prepared = replace(used, height=side, width=side, crop_from=crop)
    return OpenAutoGLMProcessor(OpenAutoGLMImageProcessor(**asdict(prepared)), processor.tokenizer)


def freeze(model: nn.Module, prefixes: Sequence[str]) -> list[nn.Module]:
    """Stops the parameters below ``prefixes`` from learning; returns the modules that are frozen as a whole."""
    names = [name for name, _ in model.named_parameters()]
    check_prefixes(prefixes, names, "optimisation.frozen")
    for name, parameter in model.named_parameters():
        if any(below(name, prefix) for prefix in prefixes):
            parameter.requires_grad_(False)
    modules = dict(model.named_modules())
    return [modules[prefix] for prefix in prefixes if prefix in modules]


def below(name: str, prefix: str) -> bool:
    """Whether a dotted name is ``prefix`` or lies below it."""
    return name == prefix or name.startswith(f"{prefix}.")


def check_prefixes(prefixes: Sequence[str], names: Sequence[str], where: str) -> None:
    """Raises SettingError for one that no name begins with."""
    for prefix in prefixes:
        if not any(below(name, prefix) for name in names):
            known = sorted({name.rsplit(".", cut)[0] for name in names for cut in range(name.count(".") + 1)})
            near = difflib.get_close_matches(prefix, known, 1, 0.4)
            advice = (
                f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted({n.split('.')[0] for n in names}))}."
            )
            raise SettingError(f"{where} names {prefix}, which the model does not have; {advice}")


def leave_out_unused(model: OpenAutoGLM, probe: Callable[[], torch.Tensor]) -> None:
    """Stops parameters that the task does not depend on, as an unused pooler's, from being trained or awaited."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    mode = model.training
    model.eval()
    gradients = torch.autograd.grad(probe(), learning, allow_unused=True)
    model.train(mode)
    for parameter, gradient in zip(learning, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)


def recompute_activations(model: OpenAutoGLM) -> None:
    """Lets the towers that can compute their activations twice instead of keeping them."""
    able = [one for one in (model.vision.tower, model.text.tower) if one.supports_gradient_checkpointing]
    if not able:
        raise SettingError("optimisation.checkpointing: neither tower can do it; set a smaller optimisation.chunk.")
    for one in able:
        one.activation_checkpointing_enable({"use_reentrant": False})


def check_config(changes: Mapping[str, Any]) -> None:
    """Raises SettingError for a field that OpenAutoGLMConfig does not have, or that the recipe has a place for."""
    if "similarity" in changes:
        raise SettingError("model.config has similarity, which is a setting of its own: write it as model.similarity.")
    known = [name for name in inspect.signature(OpenAutoGLMConfig).parameters if name != "kwargs"]
    for name in changes:
        if name not in known:
            raise SettingError(unknown(name, known, "model.config"))


def as_module(made: Any) -> nn.Module:
    """What meets a protocol of ``objectives``, as the module it is."""
    if not isinstance(made, nn.Module):
        raise SettingError(f"{type(made).__name__} is no torch module.")
    return made
