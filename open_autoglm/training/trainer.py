"""The training loop: Hugging Face's Trainer, for any task, with checkpoints that resume bit by bit.

It knows a task, its module and material; it knows nothing about recipes' files, bundles or the terminal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback
from transformers.trainer_callback import TrainerState
from transformers.trainer_utils import IntervalStrategy

from open_autoglm.data import PairSampler, pair_loader
from open_autoglm.errors import TrainingError

from . import checkpoints
from .arguments import training_arguments
from .checkpoints import Identity
from .interruption import Interruption
from .log import RunLog
from .meter import Meter
from .module import TrainingModule
from .muon import Muon
from .optimiser import parameter_groups
from .recipe import Recipe
from .task import Material, Stepper, Task

WEIGHTS, STATE, BEST = "model.safetensors", "trainer_state.json", "best.safetensors"
_NAMED = 8  # rows of a bad batch that are named


@dataclass(frozen=True)
class Progress:
    """Where a training is, told after every step: ``figures`` as in the log, or of an evaluation where it was one."""

    step: int
    steps: int
    figures: dict[str, float]
    evaluation: bool = False


Report = Callable[[Progress], None]


class RecipeTrainer(Trainer):
    """Trains a module for a task in ``folder``; ``report`` is told of steps and evaluations; not ``saving``, to try it.

    ``train(resume_from_checkpoint=...)`` goes on from a checkpoint as if there had been no break. TrainingError for a
    loss that is not a number, a checkpoint of another recipe or other data, or one that cannot be written.
    """

    optimizer: Any
    control: Any

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        module: TrainingModule,
        material: Material,
        folder: Path,
        identity: Identity,
        report: Report | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        saving: bool = True,
    ) -> None:
        self.recipe, self.task, self.module, self.material = recipe, task, module, material
        self.folder, self.identity, self.tell, self.saving = folder, identity, report, saving
        self.run_log = RunLog(folder / "log.jsonl")
        self.interruption = Interruption(recipe.output.checkpoint_minutes)
        self.meter = Meter()
        self._step: Stepper | None = None
        args = training_arguments(recipe, folder)
        self.sampler = PairSampler(
            material.splits.train.labels,
            recipe.optimisation.batch_size,
            seed=recipe.optimisation.seed,
            distinct_labels=recipe.data.distinct_labels,
            rank=args.process_index,
            world_size=args.world_size,
        )
        if material.validation is not None:
            args.eval_strategy = IntervalStrategy.STEPS
            args.eval_steps = recipe.evaluation.every or math.ceil(len(self.sampler) / recipe.optimisation.accumulation)
            args.metric_for_best_model = recipe.metric
        super().__init__(
            model=module,
            args=args,
            train_dataset=material.train,
            eval_dataset=material.validation,
            callbacks=[Upkeep(self), self.interruption, *callbacks],
        )
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> Any:
        return pair_loader(self.material.train, self.sampler, self.material.collator, self.recipe.data.workers)

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None:
            kind, settings = self.get_optimizer_cls_and_kwargs(self.args)
            kind = Muon if self.recipe.optimisation.optimiser == "muon" else kind
            self.optimizer = kind(parameter_groups(self.module, self.recipe.optimisation), **settings)
        return self.optimizer

    def train(self, resume_from_checkpoint: Any = None, **rest: Any) -> Any:
        if resume_from_checkpoint:
            self.identity.refuse_other(Path(resume_from_checkpoint))
            self.meter.before = self.run_log.cut(checkpoints.step_of(Path(resume_from_checkpoint)))
        with self.interruption.listening():
            return super().train(resume_from_checkpoint=resume_from_checkpoint, **rest)

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        model.train()
        batch = self._prepare_inputs(inputs)
        parts = self.current_gradient_accumulation_steps
        result = self.step_of(model).step(batch, loss_scale=1 / parts)
        if not bool(result.loss.isfinite()):
            raise TrainingError(self.not_a_number("loss", batch))
        self.meter.add(result, len(batch["labels"]) * self.args.world_size)
        self._last_batch = batch
        return result.loss / parts

    def step_of(self, model: nn.Module) -> Stepper:
        """One pass over a batch, by the model as it is wrapped for several processes."""
        if self._step is None or self._step.model is not model:
            self._step = self.task.stepper(model, self.module, self.recipe, self.autocast)
        return self._step

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision where the recipe wants it."""
        context: AbstractContextManager[object] = self.accelerator.autocast() if self.args.bf16 else nullcontext()
        return context

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        # The objective's and the similarity's parameters count too: they are part of the model here.
        norm = super()._clip_grad_norm(model)
        if not math.isfinite(float(norm)):
            raise TrainingError(self.not_a_number("gradient", self._last_batch))
        return norm

    def not_a_number(self, what: str, batch: Any) -> str:
        """The sentence that names a batch."""
        records = self.material.splits.train
        rows = [records[int(row)].where for row in batch["rows"][:_NAMED]]
        more = len(batch["rows"]) - len(rows)
        saved = checkpoints.checkpoints(self.folder / "checkpoints")
        kept = f"the last good checkpoint is {saved[-1]}" if saved else "there is no checkpoint yet"
        return (
            f"The {what} is not a number in step {self.state.global_step + 1}, with the batch {', '.join(rows)}"
            f"{f' and {more} more' if more else ''}: lower optimisation.learning_rate or look at these rows; {kept}."
        )

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> Any:
        if self.material.validation is None:
            return {}
        with self.autocast():
            figures = self.task.validate(self.module.evaluated.encoder, self.material, self.recipe)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in figures.items()}
        self.state.log_history.append({"step": self.state.global_step, **metrics})
        if self.is_world_process_zero():
            self.run_log.append({"step": self.state.global_step, "eval": figures})
        self.report(figures, evaluation=True)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _determine_best_metric(self, metrics: Any, trial: Any) -> bool:
        """Keeps the best weights; stops where none were better for too long."""
        if not metrics:
            return False
        better: bool = super()._determine_best_metric(metrics, trial)
        if better and self.saving and self.args.should_save:
            best = self.module.evaluated
            checkpoints.write_whole(self.folder / BEST, lambda path: save_model(best, str(path)))
        patience, best_step = self.recipe.evaluation.patience, self.state.best_global_step or 0
        name = f"eval_{self.recipe.metric}"
        worse = [one for one in self.state.log_history if name in one and one["step"] > best_step]
        if patience is not None and len(worse) >= patience:
            self.control.should_training_stop = self.control.should_save = True
        return better

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" not in logs:
            return  # the summary that the Trainer makes at its end
        figures = {
            "loss": logs["loss"],
            **self.meter.take(),
            "lr": logs["learning_rate"],
            "gradient_norm": logs["grad_norm"],
            **self.task.figures(self.module),
        }
        self.state.log_history.append({"step": self.state.global_step, **figures})
        if self.is_world_process_zero():
            self.run_log.append({"step": self.state.global_step, "epoch": self.state.epoch, **figures})
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, figures)

    def report(self, figures: dict[str, float], evaluation: bool = False) -> None:
        """Tells whoever watches."""
        if self.tell is not None and self.is_world_process_zero():
            self.tell(Progress(self.state.global_step, self.state.max_steps, figures, evaluation))

    def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
        if not self.saving:
            return
        folder, main = self.folder / "checkpoints", self.args.should_save
        folder.mkdir(parents=True, exist_ok=True)
        with checkpoints.whole(folder / f"{checkpoints.PREFIX}{self.state.global_step}", main) as part:
            if main:
                save_model(self.module, str(part / WEIGHTS))
                self.state.save_to_json(str(part / STATE))
                self.identity.write(part)
                torch.save(self.sampler.state_dict(0), part / "sampler.pt")
            self._save_optimizer_and_scheduler(str(part))
            self._save_rng_state(str(part))
        if main:
            checkpoints.rotate(folder, self.recipe.output.keep)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        # HF skips the batches that were used; the sampler only has to be that of the same data and processes.
        copy(self.sampler).load_state_dict(torch.load(folder / "sampler.pt", weights_only=True))
        load_model(self.module, str(folder / WEIGHTS), strict=True)


class Upkeep(TrainerCallback):
    """What the loop has to do around a step."""

    def __init__(self, trainer: RecipeTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.trainer.meter.started = self.trainer.meter.last = time.monotonic()

    def on_epoch_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        self.trainer.sampler.set_epoch(int(state.epoch or 0))

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.trainer.module.after_update()

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        meter = self.trainer.meter
        figures = meter.latest | self.trainer.task.figures(self.trainer.module) | {"pairs_per_second": meter.speed}
        self.trainer.report(figures)
        if state.global_step >= state.max_steps:
            control.should_evaluate = control.should_save = control.should_log = True
