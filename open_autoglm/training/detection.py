"""Trains a detector of the DETR family end to end on boxes, and saves it as a Hugging Face checkpoint.

The loss is the model's own: the best matching of queries with boxes (Hungarian, 2005.12872), then class, L1 and GIoU.
It knows the training loop; it knows nothing about how regions are used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml  # type: ignore[import-untyped]

from open_autoglm.data import BoxedPictures, open_boxes
from open_autoglm.data.boxes import THING
from open_autoglm.errors import TrainingError, needing
from open_autoglm.evaluation.boxes import box_recall
from open_autoglm.modeling.detection import Detector
from open_autoglm.runtime.proposals import Detected

from .checkpoints import Identity, checkpoints, rotate, step_of, whole
from .detection_building import build_detector
from .detection_recipe import DetectionOptimisation, DetectorRecipe
from .interruption import Interruption
from .log import RunLog
from .reading import plain
from .validation import evaluating

STATE = "training.pt"
DETECTOR = "detector"
RECALLS = (0.5, 0.7)  # overlaps (IoU) from which a thing counts as found

Report = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True)
class DetectorOutcome:
    """How a training ended: ``step`` of ``steps``, ``seconds`` trained, and the figures measured last.

    ``detector``: its folder; None where the training was ``stopped`` before its end; it goes on with ``resume``.
    """

    folder: Path
    detector: Path | None
    step: int
    steps: int
    seconds: float
    figures: Mapping[str, float]
    stopped: bool


def train_detector(
    recipe: DetectorRecipe,
    *,
    resume: bool = False,
    report: Report | None = None,
    opened: Callable[[Mapping[str, BoxedPictures]], None] | None = None,
) -> DetectorOutcome:
    """Trains, or goes on from the last checkpoint, and saves the detector.

    ``report`` is told every logged line, ``opened`` of the data before the first step.
    DataError, SettingError, BundleError, MissingExtra or TrainingError in one sentence for what cannot be.
    """
    with needing("Training a detector", "train"):
        import scipy  # noqa: F401  (the matching in the loss)
    folder = Path(recipe.output.folder) / recipe.name
    last = _last_checkpoint(folder, resume)
    train = open_boxes(recipe.data.train)
    validation = open_boxes(recipe.data.validation) if recipe.data.validation else None
    if opened is not None:
        opened({"train": train} | ({"validation": validation} if validation else {}))
    torch.manual_seed(recipe.optimisation.seed)
    run = _Run(recipe, folder, train, validation, report)
    if last is not None:
        run.restore(last)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.yaml").write_text(yaml.safe_dump(plain(asdict(recipe)), sort_keys=False), encoding="utf-8")
    return run.go()


class _Run:
    """A training under way."""

    def __init__(
        self,
        recipe: DetectorRecipe,
        folder: Path,
        train: BoxedPictures,
        validation: BoxedPictures | None,
        report: Report | None,
    ) -> None:
        self.recipe, self.folder, self.train, self.validation, self.report = recipe, folder, train, validation, report
        self.classes = train.classes if recipe.data.classes else (THING,)
        self.model, self.processor = build_detector(recipe.model, self.classes)
        self.model.to(torch.accelerator.current_accelerator() or "cpu")
        self.optimiser = torch.optim.AdamW(_groups(self.model, recipe.optimisation), fused=True)
        self.log = RunLog(folder / "log.jsonl")
        prints = {"train": train.fingerprint} | ({"validation": validation.fingerprint} if validation else {})
        self.identity = Identity(plain(asdict(recipe)), prints)
        self.step, self.seconds, self.figures = 0, 0.0, dict[str, float]()

    def restore(self, checkpoint: Path) -> None:
        """Goes on from a checkpoint. TrainingError for one of another recipe or other data."""
        self.identity.refuse_other(checkpoint)
        state = torch.load(checkpoint / STATE, map_location=self.model.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = step_of(checkpoint)
        self.seconds = self.log.cut(self.step)

    def go(self) -> DetectorOutcome:
        """All steps that are left; after SIGTERM or Ctrl+C a checkpoint, and no detector."""
        output, steps = self.recipe.output, self.recipe.optimisation.steps
        interruption, began = Interruption(math.inf), time.monotonic() - self.seconds
        with interruption.listening():
            while self.step < steps and not interruption.requested:
                loss = self.learn()
                self.step += 1
                self.seconds = time.monotonic() - began
                if self.step % output.log_every == 0 or self.step == 1:
                    self.note({"loss": loss})
                if self.step % output.measure_every == 0 or self.step == steps:
                    self.measure()
                if self.step % output.checkpoint_steps == 0 or interruption.requested:
                    self.save()
        if interruption.requested and self.step < steps:
            return self.outcome(None)
        with whole(self.folder / DETECTOR) as part:
            self.model.save_pretrained(part)
            self.processor.save_pretrained(part)
        return self.outcome(self.folder / DETECTOR)

    def outcome(self, detector: Path | None) -> DetectorOutcome:
        """How it ended, with its detector if it was not stopped."""
        steps = self.recipe.optimisation.steps
        return DetectorOutcome(
            self.folder, detector, self.step, steps, self.seconds, self.figures, stopped=detector is None
        )

    def learn(self) -> float:
        """One step; returns its loss. TrainingError where that is no number."""
        settings = self.recipe.optimisation
        # Everything random follows from the seed and the step, so a run that is resumed goes the same way.
        torch.manual_seed(settings.seed * 1_000_003 + self.step)
        self.model.train()
        loss = self.model(**self.batch()).loss
        if not torch.isfinite(loss):
            raise TrainingError(f"The loss is {loss.item()} at step {self.step + 1}: lower the learning rate.")
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip or math.inf)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * _schedule(self.step, settings)
        self.optimiser.step()
        return float(loss.item())

    def batch(self) -> dict[str, Any]:
        """The model's inputs at this step, its labels included."""
        pictures, annotations = [], []
        for number, flipped in picks(len(self.train.pictures), self.step, self.recipe.optimisation):
            pixels, boxes = self.train.pixels(number), self.train.pictures[number].boxes
            if flipped and self.recipe.data.flip:
                pixels, boxes = mirrored(pixels, boxes)
            pictures.append(pixels)
            annotations.append(self.annotation(number, boxes, pixels.shape))
        inputs = self.processor(
            images=pictures, annotations=annotations, input_data_format="channels_last", return_tensors="pt"
        )
        labels = [{name: value.to(self.model.device) for name, value in one.items()} for one in inputs.pop("labels")]
        return {**inputs.to(self.model.device), "labels": labels}

    def annotation(self, number: int, boxes: np.ndarray, shape: tuple[int, ...]) -> dict[str, Any]:
        """A picture's boxes in COCO's form, which image processors turn into what their model learns from."""
        height, width = shape[:2]
        corners = boxes * [width, height, width, height]
        sides = corners[:, 2:] - corners[:, :2]
        names = self.train.pictures[number].categories
        things = [
            {
                "bbox": [*corner.tolist(), *side.tolist()],
                "area": float(side.prod()),
                "category_id": self.classes.index(name) if self.recipe.data.classes else 0,
                "iscrowd": 0,
            }
            for corner, side, name in zip(corners[:, :2], sides, names, strict=True)
        ]
        return {"image_id": number, "annotations": things}

    def measure(self) -> None:
        """Notes which share of the validation pictures' boxes is found, whatever their class."""
        if self.validation is None:
            return
        detector = Detector(self.model, self.processor, Detected(threshold=0.0))
        chosen = range(min(len(self.validation.pictures), self.recipe.data.measured))
        wanted = [self.validation.pictures[number].boxes for number in chosen]
        with evaluating(self.model):
            found = [detector(self.validation.pixels(number)) for number in chosen]
        self.figures = {f"recall_{int(100 * overlap)}": box_recall(found, wanted, overlap) for overlap in RECALLS}
        self.note(self.figures)

    def note(self, figures: Mapping[str, float]) -> None:
        """Writes a line of the log and tells it."""
        line = {"step": self.step, "seconds": round(self.seconds, 2), **figures}
        self.log.append(line)
        if self.report:
            self.report(line)

    def save(self) -> None:
        """Writes a checkpoint, whole or not at all."""
        with whole(self.folder / "checkpoints" / f"checkpoint-{self.step}") as part:
            self.identity.write(part)
            torch.save({"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}, part / STATE)
        rotate(self.folder / "checkpoints", self.recipe.output.keep)


def picks(count: int, step: int, settings: DetectionOptimisation) -> Iterator[tuple[int, bool]]:
    """Which of ``count`` pictures a step sees, and whether mirrored: each once an epoch, in an order of its own."""
    for place in range(step * settings.batch_size, (step + 1) * settings.batch_size):
        epoch, within = divmod(place, count)
        number = np.random.default_rng([settings.seed, epoch]).permutation(count)[within]
        yield int(number), bool(np.random.default_rng([settings.seed, epoch, within]).random() < 0.5)


def mirrored(pixels: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture [h, w, 3] and its boxes [k, 4], fractions, with left and right exchanged."""
    changed = boxes.copy()
    changed[:, [0, 2]] = 1 - boxes[:, [2, 0]]
    return np.ascontiguousarray(pixels[:, ::-1]), changed


def _schedule(step: int, settings: DetectionOptimisation) -> float:
    """What the learning rate is multiplied by."""
    rising = max(1.0, settings.warmup * settings.steps)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1.0, settings.steps - rising)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _groups(model: Any, settings: DetectionOptimisation) -> list[dict[str, Any]]:
    """AdamW's groups: vectors and scalars are not decayed."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in learning if parameter.ndim > 1]
    vectors = [parameter for parameter in learning if parameter.ndim <= 1]
    common = {"lr": settings.learning_rate}
    return [
        {"params": matrices, "weight_decay": settings.weight_decay, **common},
        {"params": vectors, "weight_decay": 0.0, **common},
    ]


def _last_checkpoint(folder: Path, resume: bool) -> Path | None:
    """The checkpoint to go on from; None for a fresh start. TrainingError where the other was meant."""
    saved = checkpoints(folder / "checkpoints")
    if (folder / DETECTOR).exists():
        raise TrainingError(f"{folder} is finished and has its detector: give another name to train anew.")
    if saved and not resume:
        raise TrainingError(
            f"{folder} has a training that was not finished: go on with --resume, or give another name."
        )
    if resume and not saved:
        raise TrainingError(f"{folder} has no checkpoint to go on from: start without --resume.")
    return saved[-1] if saved else None
