"""One training from its recipe to its bundle, in a folder of its own.

It knows where everything of a run lies: ``preflight.json``, ``recipe.yaml``, ``log.jsonl``, ``facts.json``,
``checkpoints/``, ``bundle/``, ``report.html``; it knows nothing about the terminal.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_model
from transformers import TrainerCallback, set_seed
from transformers.trainer_callback import TrainerState

from open_autoglm.bundle import amend
from open_autoglm.compression.bundling import make_bundle
from open_autoglm.errors import TrainingError
from open_autoglm.modeling import OpenAutoGLMProcessor

from .building import build_alignment, build_model, training_processor
from .calibrating import calibration
from .checkpoints import Identity, checkpoints
from .material import Splits, open_splits, prepare
from .preflight_kept import kept
from .reading import to_plain, to_yaml
from .recipe import Recipe
from .report import write_report
from .report_facts import write_facts
from .trainer import BEST, STATE, AlignmentTrainer, Report


@dataclass(frozen=True)
class Outcome:
    """How a training ended: ``step`` of ``steps``, ``seconds`` trained, the ``figures`` of the weights that were kept.

    ``bundle`` is None where the training was ``stopped`` before its end; it goes on with ``resume``.
    """

    folder: Path
    bundle: Path | None
    step: int
    steps: int
    seconds: float
    figures: Mapping[str, float]
    stopped: bool


@dataclass(frozen=True)
class Run:
    """A training that is ready to start."""

    trainer: AlignmentTrainer
    processor: OpenAutoGLMProcessor
    splits: Splits


def folder_of(recipe: Recipe) -> Path:
    """Where a recipe's run lies."""
    return Path(recipe.output.folder) / recipe.name


def train(
    recipe: Recipe,
    *,
    resume: bool = False,
    report: Report | None = None,
    reading: Callable[[int], None] | None = None,
) -> Outcome:
    """Trains, or goes on from the last checkpoint, and makes the bundle.

    ``report`` is told of every step, ``reading`` of the rows read. What a check found before goes into its facts.
    SettingError, DataError, BundleError or TrainingError in one sentence for what cannot be.
    """
    folder, main = folder_of(recipe), os.environ.get("RANK", "0") == "0"
    last = last_checkpoint(folder, resume) if main or resume else None
    run = start(recipe, folder, report, reading)
    if main:
        folder.mkdir(parents=True, exist_ok=True)
        if last is None:
            preflight = kept(folder, run.trainer.identity)
            (folder / "recipe.yaml").write_text(to_yaml(recipe), encoding="utf-8")
            for old in (run.trainer.run_log.path, folder / BEST):
                old.unlink(missing_ok=True)
            write_facts(folder, run.splits.named, preflight.findings, preflight=preflight.checked)
    if last is not None and finished(last):
        run.trainer.identity.refuse_other(last)
        run.trainer._load_from_checkpoint(str(last))
        run.trainer.state = TrainerState.load_from_json(str(last / STATE))
    else:
        run.trainer.train(resume_from_checkpoint=str(last) if last else None)
    return conclude(run, recipe, folder, main)


def start(
    recipe: Recipe,
    folder: Path,
    report: Report | None = None,
    reading: Callable[[int], None] | None = None,
    splits: Splits | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    saving: bool = True,
) -> Run:
    """Reads the data, unless ``splits`` are given, and builds everything; the same recipe gives the same start."""
    known = splits or open_splits(recipe.data, recipe.optimisation.seed, reading)
    set_seed(recipe.optimisation.seed)
    model, processor = build_model(recipe.model)
    training = training_processor(recipe, model, processor)
    material = prepare(recipe, known, model.config, training, processor)
    alignment = build_alignment(recipe, model, processor.image_processor.preprocessing)
    identity = Identity(to_plain(recipe), known.fingerprints)
    trainer = AlignmentTrainer(recipe, alignment, material, folder, identity, report, callbacks, saving)
    return Run(trainer, processor, known)


def last_checkpoint(folder: Path, resume: bool) -> Path | None:
    """The checkpoint to go on from; None for a fresh start. TrainingError where the other was meant."""
    saved = checkpoints(folder / "checkpoints")
    if (folder / "bundle").exists():
        raise TrainingError(f"{folder} is finished and has its bundle: give another name to train anew.")
    if not resume and saved:
        raise TrainingError(
            f"{folder} has a training that was not finished: go on with --resume, or give another name."
        )
    if resume and not saved:
        raise TrainingError(f"{folder} has no checkpoint to go on from: start without --resume.")
    return saved[-1] if saved else None


def finished(checkpoint: Path) -> bool:
    """Whether all steps were done, and only the bundle is missing."""
    state = TrainerState.load_from_json(str(checkpoint / STATE))
    return state.global_step >= state.max_steps


def conclude(run: Run, recipe: Recipe, folder: Path, main: bool) -> Outcome:
    """Makes the bundle of the best weights, where the training came to its end."""
    trainer = run.trainer
    lines = trainer.run_log.lines()
    figures = best_figures(lines, recipe.evaluation.metric)
    stopped = trainer.interruption.requested
    bundle = None
    if not stopped and main:
        bundle = write_bundle(run, recipe, folder, figures)
    if main:
        write_report(folder)
    return Outcome(
        folder,
        bundle,
        trainer.state.global_step,
        trainer.state.max_steps,
        max((float(line.get("seconds", 0)) for line in lines), default=0.0),
        figures,
        stopped,
    )


def best_figures(lines: Sequence[Mapping[str, Any]], metric: str) -> dict[str, float]:
    """The evaluation whose weights were kept."""
    evaluations = [dict(line["eval"]) for line in lines if "eval" in line]
    return max(evaluations, key=lambda one: float(one.get(metric, 0.0))) if evaluations else {}


def write_bundle(run: Run, recipe: Recipe, folder: Path, figures: Mapping[str, float]) -> Path:
    """The bundle, with the weights that were evaluated best, or the last where nothing was evaluated."""
    alignment = run.trainer.alignment
    kept = alignment.evaluated
    if (folder / BEST).exists():
        load_model(kept, str(folder / BEST))
    model = kept.encoder.model
    model.config.logit_scale = float(model.logit_scale.detach().exp())
    return make_bundle(
        model.float().cpu().eval(),
        run.processor,
        folder / "bundle",
        recipe.name,
        sources=sources(recipe, run.splits),
        card=card(recipe, figures),
        template=recipe.output.template,
        packed=recipe.output.packed,
        int8_text=recipe.output.int8_text,
        names=run.splits.train.classes,
        overwrite=True,
        check=lambda bundle: calibrate(bundle, run.splits, recipe.optimisation.seed),
    )


def calibrate(bundle: Path, splits: Splits, seed: int) -> None:
    """Writes into a bundle what its scores mean, where pictures were kept back to tell."""
    if splits.validation is not None:
        amend(bundle, calibration=calibration(bundle, splits.validation, seed))


def sources(recipe: Recipe, splits: Splits) -> list[dict[str, str]]:
    """What the bundle was made from."""
    start = recipe.model.start or "towers of its own"
    return [
        {"what": "where the training started", "from": start, "licence": "as its publisher says"},
        {
            "what": f"training data, fingerprint {splits.train.fingerprint}",
            "from": splits.train.source,
            "licence": "as its owner says",
        },
    ]


def card(recipe: Recipe, figures: Mapping[str, float]) -> str:
    """The bundle's README: what was measured, and the recipe in full."""
    rows = "\n".join(f"| {name.replace('_', ' ')} | {value:.4f} |" for name, value in figures.items())
    table = f"On its validation pictures:\n\n| | |\n|---|---|\n{rows}\n\n" if rows else ""
    return f"# {recipe.name}\n\nTrained with `autoglm train`.\n\n{table}## Recipe\n\n```yaml\n{to_yaml(recipe)}```\n"
