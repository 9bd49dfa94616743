"""A training's recipe as typed, frozen data: model, data, objective, optimisation, evaluation and output.

Reading one from YAML is ``reading``'s job; it knows nothing about files, tensors or the training loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from open_autoglm.data import Augmentation, DataSettings
from open_autoglm.errors import SettingError
from open_autoglm.manifest_checks import check_template
from open_autoglm.objectives import MomentumSchedule

BASE = "open-autoglm-base"
TaskName = Literal["align", "answer", "describe", "match"]


@dataclass(frozen=True)
class Towers:
    """A model put together anew, with heads that start at random.

    - ``vision``, ``text``: a hub id or directory of pretrained weights, or a configuration with its ``model_type``,
      which starts at random. ``tokenizer``: a hub id or directory; None takes ``text``'s.
    - ``size``, ``resize``, ``mean``, ``std``: how pictures are prepared; ``size`` in pixels, or height and width.
    """

    vision: str | Mapping[str, Any]
    text: str | Mapping[str, Any]
    tokenizer: str | None = None
    size: int | tuple[int, int] = 224
    resize: Literal["squash", "crop"] = "squash"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class ModelSettings:
    """``start``: a bundle's name, its directory or a hub id, the base model by default; ``towers`` makes one anew.

    ``config`` overrides fields of OpenAutoGLMConfig: a head of another kind starts at random. ``similarity``: how texts
    are compared with pictures, in training, in evaluation and by whoever uses the bundle; bilinear goes on from the
    matrix of a bilinear ``start``. ``picture_size``: the side in pixels of the pictures that the model sees in use;
    None keeps the start's. ``training_size``: the side at which they are trained on, where it differs; smaller trains
    faster, and convolutional towers see best at sizes somewhat above it (1906.06423).
    """

    start: str | None = None
    towers: Towers | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    similarity: Literal["cosine", "euclidean", "bilinear", "region_word"] = "cosine"
    picture_size: int | None = None
    training_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("picture_size", "training_size"):
            if (value := getattr(self, name)) is not None:
                at_least(value, name, 1)
        if self.start is not None and self.towers is not None:
            raise SettingError("A model begins either with start or with towers: leave one of them out.")
        if self.start is None and self.towers is None:
            object.__setattr__(self, "start", BASE)


@dataclass(frozen=True)
class TrainingData:
    """``validation`` names data of its own; without it, ``validation_share`` of the pictures is kept back.

    A share of 0 trains without. ``augmentation``: null trains on pictures as they are. ``distinct_labels``: no label
    twice in a batch, where there are batches enough. ``questions``: of a picture in a batch, where the task is to
    answer, or texts where it is to describe. ``workers``: processes that prepare pictures.
    """

    train: DataSettings
    validation: DataSettings | None = None
    validation_share: float = 0.1
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    distinct_labels: bool = False
    questions: int = 8
    workers: int = 0

    def __post_init__(self) -> None:
        within(self.validation_share, "validation_share", 0, 0.9)
        at_least(self.questions, "questions", 1)
        at_least(self.workers, "workers", 0)

    @property
    def kept_back(self) -> DataSettings:
        """How the pictures are read that are not trained on."""
        return self.validation or self.train


@dataclass(frozen=True)
class ObjectiveSettings:
    """A key of ``objectives.OBJECTIVES`` and its constructor's arguments; ``weight`` counts in a sum of several."""

    name: str = "contrastive"
    settings: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 1.0


@dataclass(frozen=True)
class Average:
    """An exponential moving average of the weights, which is evaluated and becomes the bundle.

    Its ``decay`` rises from 0 over ``warmup_steps``, so that the beginning is forgotten.
    """

    decay: float = 0.999
    warmup_steps: int = 100

    def __post_init__(self) -> None:
        within(self.decay, "decay", 0, 1)


@dataclass(frozen=True)
class Optimisation:
    """The optimiser and its schedule.

    - ``optimiser``: ``adamw``, or ``muon``, whose matrices take orthogonal steps: small models from scratch learn in
      fewer of them. Rates of AdamW fit it.
    - ``learning_rate``; ``rates`` gives parts of the model their own, by the beginning of their names (``text.tower``,
      ``image_head``, ``logit_scale``, ``objective``); ``layer_decay`` makes each layer of a tower learn that many
      times as fast as the one above it. ``frozen``: parts, named alike, that do not learn. ``fixed_statistics``:
      batch normalisation keeps the statistics that it has, as small batches and pretrained towers want.
    - ``schedule`` after a ``warmup`` of that share of all steps, or that many steps where it is 1 or more.
    - ``epochs``, or ``steps`` where given. ``batch_size``: pairs in a process that are compared with each other;
      ``chunk`` of them are encoded at a time (cached gradients); null encodes all at once.
    - ``accumulation``: batches a step; it does not add negatives. ``clip``: largest gradient norm, 0 for none.
    - ``bf16``: mixed precision. ``checkpointing``: towers compute activations again instead of keeping them.
    """

    optimiser: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 1e-4
    rates: Mapping[str, float] = field(default_factory=dict)
    layer_decay: float = 1.0
    frozen: tuple[str, ...] = ()
    fixed_statistics: bool = False
    weight_decay: float = 0.05
    beta2: float = 0.98
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = 0.05
    epochs: float = 10.0
    steps: int | None = None
    batch_size: int = 256
    chunk: int | None = 32
    accumulation: int = 1
    clip: float = 1.0
    bf16: bool = False
    checkpointing: bool = False
    average: Average | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulation", "steps", "chunk"):
            if (value := getattr(self, name)) is not None:
                at_least(value, name, 1)
        for name in ("learning_rate", "weight_decay", "warmup", "clip", "seed", "epochs"):
            at_least(getattr(self, name), name, 0)
        for name in ("layer_decay", "beta2"):
            within(getattr(self, name), name, 0, 1)


@dataclass(frozen=True)
class Evaluation:
    """Recall at ``ks`` both ways on the validation pictures, at most ``pictures`` of them.

    ``every`` so many steps; null: after each epoch. The weights with the best ``metric`` become the bundle: of aligning
    ``mean_recall`` over both ways and all ``ks``, ``image_to_text_r1``, ...; of answering ``accuracy``; of matching
    ``accuracy`` or ``reranked_map``; of describing ``token_accuracy``; null takes the first of these. Training stops
    after ``patience`` evaluations without a better one, null: never.
    """

    every: int | None = None
    pictures: int = 2000
    ks: tuple[int, ...] = (1, 5, 10)
    metric: str | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("every", "patience", "pictures"):
            if (value := getattr(self, name)) is not None:
                at_least(value, name, 1)

    def metrics(self, task: TaskName) -> tuple[str, ...]:
        """What a task is measured by, its own choice first."""
        if task == "answer":
            return ("accuracy",)
        if task == "describe":
            return ("token_accuracy",)
        if task == "match":
            return ("accuracy", "reranked_map")
        return ("mean_recall", *(f"{way}_r{k}" for way in ("image_to_text", "text_to_image") for k in self.ks))


@dataclass(frozen=True)
class Output:
    """Where a run goes: ``folder/NAME``.

    A checkpoint is written every ``checkpoint_minutes`` and, where given, every ``checkpoint_steps``; the last
    ``keep`` stay. ``packed`` stores the bundle's matrices as int8 rows, ``int8`` adds int8 graphs, calibrated on
    pictures that were trained on; ``template`` turns a label into a sentence: ``{}`` stands once, where the label goes.
    """

    folder: str = "runs"
    log_every: int = 10
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int | None = None
    keep: int = 2
    packed: bool = False
    int8: bool = False
    template: str = "a photo of a {}"

    def __post_init__(self) -> None:
        at_least(self.keep, "keep", 1)
        at_least(self.log_every, "log_every", 1)
        try:
            check_template(self.template)  # the bundle's own rule: it would be refused there, after the training
        except ValueError as error:
            raise SettingError(f"{error}; write it like 'a photo of a {{}}'.") from error


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All of a training; its ``data`` alone must be given.

    ``task``: ``align`` pictures and texts; with a fusion decoder ``answer`` questions, or tell whether texts ``match``
    pictures; or ``describe``: write texts, or answers to questions, with a decoder of their own. ``objective``, of
    aligning: one, or several as a weighted sum; ``momentum``: a target encoder's.
    """

    name: str
    task: TaskName = "align"
    model: ModelSettings = field(default_factory=ModelSettings)
    data: TrainingData
    objective: ObjectiveSettings | tuple[ObjectiveSettings, ...] = field(default_factory=ObjectiveSettings)
    momentum: MomentumSchedule | None = None
    optimisation: Optimisation = field(default_factory=Optimisation)
    evaluation: Evaluation = field(default_factory=Evaluation)
    output: Output = field(default_factory=Output)

    def __post_init__(self) -> None:
        check_name(self.name)
        known = self.evaluation.metrics(self.task)
        if self.evaluation.metric is not None and self.evaluation.metric not in known:
            raise SettingError(
                f"evaluation.metric: there is no {self.evaluation.metric!r}; choose one of {', '.join(known)}."
            )
        if self.task != "align" and (self.objective != ObjectiveSettings() or self.momentum is not None):
            raise SettingError(f"The task {self.task} has its own objective: leave out objective and momentum.")

    @property
    def metric(self) -> str:
        """What decides which weights are kept."""
        return self.evaluation.metric or self.evaluation.metrics(self.task)[0]

    @property
    def objectives(self) -> tuple[ObjectiveSettings, ...]:
        """The objective, or each of the sum's."""
        return self.objective if isinstance(self.objective, tuple) else (self.objective,)


def check_name(name: str) -> None:
    """Raises SettingError for a run's name that no folder may have."""
    if not name or name in (".", "..") or set(name) & set("/\\\0"):
        raise SettingError(f"name is {name!r}: give the run a name that a folder may have.")


def at_least(value: float, name: str, least: float) -> None:
    """Raises SettingError for a value below ``least``."""
    if not value >= least:
        raise SettingError(f"{name} is {value}: it must be at least {least}.")


def within(value: float, name: str, least: float, most: float) -> None:
    """Raises SettingError for a value outside of a range."""
    if not least <= value <= most:
        raise SettingError(f"{name} is {value}: it must be from {least} to {most}.")
