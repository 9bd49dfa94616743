"""A bundle with fewer parameters: its towers pruned by a share, fitted anew, and taught by the full model.

It knows PyTorch models and bundles; whether the loss is worth it, others decide.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from open_autoglm import bundle as bundles
from open_autoglm.bundle import Bundle
from open_autoglm.errors import SettingError
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMProcessor

from .bundling import make_bundle
from .checking import names
from .int8_bundle import Checks, Report
from .pruning import Calibration, Distillation, Plan, distil, plan_for, prune, sensitivity

TOWERS = ("vision", "text")
SCANNED = 48  # pictures, and as many sentences, that tell how sensitive a stage is
WORDINGS = ("{}", "a photo of a {}", "there is a {} in the picture")


@dataclass(frozen=True)
class PrunedBundles:
    """Makes them: ``steps`` of distillation after the closed-form fit; 0 leaves it at that."""

    steps: int = 0

    def __call__(self, source: Bundle, share: float, place: Path, checks: Checks, report: Report) -> None:
        """Writes ``source`` to ``place`` with a share of each tower's parameters gone.

        Its calibration and vocabulary stay, as its vectors stay close; its space is its own, so an index is made anew.
        SettingError for a model that has no tower to prune.
        """
        model = OpenAutoGLM.from_pretrained(source.path).eval()
        processor = OpenAutoGLMProcessor.from_pretrained(source.path)
        sentences = sentences_of(source, checks)
        fitting = Calibration.of(processor, model.config, checks.calibration, sentences)
        some = Calibration.of(processor, model.config, checks.pictures[:SCANNED], sentences[::7][:SCANNED])
        widths, refused = dict[str, int](), list[str]()
        for tower in TOWERS:
            report(f"Scanning the {tower} tower")
            try:
                widths |= plan_for(sensitivity(model, tower, first(fitting), some), share).widths
            except SettingError as error:
                refused.append(str(error))
        if not widths:
            raise SettingError(f"{source.path} cannot be pruned. {' '.join(refused)}")
        report("Fitting what is left")
        pruned = prune(model, Plan(widths), fitting)
        if self.steps:
            report(f"Learning from the full model, {self.steps} steps")
            pruned = distil(pruned, model, fitting, Distillation(steps=self.steps))
        write(pruned, processor, source, place, share)


def first(calibration: Calibration) -> Calibration:
    """Enough of it to tell stages apart."""
    return Calibration(calibration.pictures[:4], calibration.sentences[:8])


def sentences_of(source: Bundle, checks: Checks) -> Sequence[str]:
    """What the bundle has names for, in several wordings, and what it is compared on."""
    return [*(wording.format(name) for wording in WORDINGS for name in names(source)), *checks.sentences]


def write(model: OpenAutoGLM, processor: OpenAutoGLMProcessor, source: Bundle, place: Path, share: float) -> None:
    """The bundle, with what the full one says of itself."""
    manifest = source.manifest
    card = (source.path / "README.md").read_text(encoding="utf-8")
    make_bundle(
        model.requires_grad_(False),
        processor,
        place,
        manifest.name,
        sources=manifest.sources,
        card=f"{card.rstrip()}\n\nPruned: {share:.0%} of its towers' parameters are gone.\n",
        template=str(manifest.preprocessing["text"]["template"]),
        packed=source.weights.packed,
    )
    for file in (manifest.vocabulary[part] for part in ("names", "vectors") if part in manifest.vocabulary):
        shutil.copy2(source.path / file, place / file)
    made = bundles.read_manifest(place)
    bundles.seal(place, replace(made, calibration=manifest.calibration, vocabulary=manifest.vocabulary))
