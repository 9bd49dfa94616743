"""The end of a training: its bundle, its report, and how it went.

It knows a run that has stopped; it knows nothing about the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_model

from open_autoglm.bundle import amend
from open_autoglm.compression.bundling import make_bundle

from .calibrating import calibration
from .material import Splits
from .outcome import Outcome, Run
from .quantising import add_int8
from .reading import to_yaml
from .recipe import Recipe
from .report import write_report
from .trainer import BEST

Say = Callable[[str], None]


def conclude(run: Run, recipe: Recipe, folder: Path, main: bool, say: Say) -> Outcome:
    """Makes the bundle of the best weights, where the training came to its end."""
    trainer = run.trainer
    lines = trainer.run_log.lines()
    figures = best_figures(lines, recipe.metric)
    stopped = trainer.interruption.requested
    bundle, notes = None, tuple[str, ...]()
    if not stopped and main:
        bundle, notes = write_bundle(run, recipe, folder, figures, say)
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
        notes,
    )


def best_figures(lines: Sequence[Mapping[str, Any]], metric: str) -> dict[str, float]:
    """The evaluation whose weights were kept."""
    evaluations = [dict(line["eval"]) for line in lines if "eval" in line]
    return max(evaluations, key=lambda one: float(one.get(metric, 0.0))) if evaluations else {}


def write_bundle(
    run: Run, recipe: Recipe, folder: Path, figures: Mapping[str, float], say: Say
) -> tuple[Path, tuple[str, ...]]:
    """The bundle, with the weights that were evaluated best, or the last where nothing was evaluated.

    With it a sentence on each graph that stays in float where int8 was wanted.
    """
    notes: tuple[str, ...] = ()

    def finish(bundle: Path) -> None:
        nonlocal notes
        if recipe.output.int8:
            notes = add_int8(bundle, run.splits, recipe.optimisation.seed, say)
        limits, seed = recipe.data.kept_back.limits, recipe.optimisation.seed
        meant = calibration(bundle, recipe.task, run.splits.validation, limits, seed)
        amend(bundle, calibration=meant)

    kept = run.trainer.module.evaluated
    if (folder / BEST).exists():
        load_model(kept, str(folder / BEST))
    model: Any = kept.encoder.model
    model.config.logit_scale = float(model.logit_scale.detach().exp())
    made = make_bundle(
        model.float().cpu().eval(),
        run.processor,
        folder / "bundle",
        recipe.name,
        sources=sources(recipe, run.splits),
        card=card(recipe, figures),
        template=recipe.output.template,
        packed=recipe.output.packed,
        names=run.splits.train.names,
        overwrite=True,
        finish=finish,
    )
    return made, notes


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
