"""One training from its recipe to its bundle, in a folder of its own.

It knows where everything of a run lies: ``preflight.json``, ``recipe.yaml``, ``log.jsonl``, ``facts.json``,
``checkpoints/``, ``bundle/``, ``report.html``; it knows nothing about the terminal.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from transformers import TrainerCallback, set_seed
from transformers.trainer_callback import TrainerState

from open_autoglm.errors import TrainingError

from .building import build_model, build_module, training_processor
from .checkpoints import Identity, checkpoints
from .material import Splits, open_splits
from .outcome import Outcome, Run
from .preflight_kept import kept
from .reading import to_plain, to_yaml
from .recipe import Recipe
from .report_facts import write_facts
from .tasks import TASKS
from .trainer import BEST, STATE, RecipeTrainer, Report


def folder_of(recipe: Recipe) -> Path:
    """Where a recipe's run lies."""
    return Path(recipe.output.folder) / recipe.name


def train(
    recipe: Recipe,
    *,
    resume: bool = False,
    report: Report | None = None,
    reading: Callable[[int], None] | None = None,
    opened: Callable[[Splits], None] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Trains, or goes on from the last checkpoint, and makes the bundle.

    ``report`` is told of every step, ``reading`` of the rows read, ``opened`` of the data before the first step,
    ``say`` of what takes long after the last one. What a check found before goes into its facts.
    SettingError, DataError, BundleError or TrainingError in one sentence for what cannot be.
    """
    folder, main = folder_of(recipe), os.environ.get("RANK", "0") == "0"
    last = last_checkpoint(folder, resume) if main or resume else None
    run = start(recipe, folder, report, reading)
    if main:
        if opened is not None:
            opened(run.splits)
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
    from .finishing import conclude  # what makes bundles takes 50 MiB that a training can use until here

    return conclude(run, recipe, folder, main, say)


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
    task = TASKS[recipe.task]
    model, processor = build_model(task.configured(recipe.model, known))
    training = training_processor(recipe, model, processor)
    material = task.material(recipe, known, model.config, training, processor)
    module = build_module(recipe, task, model, processor.image_processor.preprocessing)
    identity = Identity(to_plain(recipe), known.fingerprints)
    trainer = RecipeTrainer(recipe, task, module, material, folder, identity, report, callbacks, saving)
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
