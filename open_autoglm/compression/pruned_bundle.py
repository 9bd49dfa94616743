"""A bundle with fewer parameters: its towers pruned by a share, fitted anew, and taught by the full model.

It knows PyTorch models and bundles; whether the loss is worth it, others decide.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from open_autoglm import bundle as bundles
from open_autoglm.bundle import Bundle
from open_autoglm.errors import SettingError
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMProcessor

from .bundling import make_bundle
from .checking import names, parted, plain
from .compress import Pruned
from .int8_bundle import Checks, Report
from .pruning import Calibration, Distillation, Plan, distil, plan_for, prune, sensitivity

TOWERS = ("vision", "text")
SCANNED = 48  # pictures, and as many sentences, that tell how sensitive a stage is
PICTURES, SENTENCES = 64, 128  # others, that stages are fitted on for that
WORDINGS = ("{}", "a photo of a {}", "there is a {} in the picture")

T = TypeVar("T")


@dataclass(frozen=True)
class PrunedBundles:
    """Makes them: ``steps`` of distillation after the closed-form fit; 0 leaves it at that."""

    steps: int = 0

    def __call__(self, source: Bundle, share: float, place: Path, checks: Checks, report: Report) -> Pruned:
        """Writes ``source`` to ``place`` with a share of each tower's parameters gone; one without so many stays whole.

        Nothing is fitted or chosen on what it is compared on. Its calibration and vocabulary stay, as its vectors stay
        close; its space is its own, so an index is made anew. SettingError for a model that has no tower to prune.
        """
        model = OpenAutoGLM.from_pretrained(source.path).eval()
        processor = OpenAutoGLMProcessor.from_pretrained(source.path)
        shown, said = checks.calibration, sentences_of(source, checks)
        parts = (shown, said), *zip(scanned(shown, PICTURES), scanned(said, SENTENCES), strict=True)
        fitting, scanned_with, scanned_on = (Calibration.of(processor, model.config, *part) for part in parts)
        plan, notes = planned(model, share, scanned_with, scanned_on, report)
        if not plan.widths:
            raise SettingError(f"{source.path} cannot be pruned. {' '.join(notes)}")
        report("Fitting what is left")
        pruned = prune(model, plan, fitting)
        if self.steps:
            report(f"Learning from the full model, {self.steps} steps")
            pruned = distil(pruned, model, lesson(fitting, model, plan.towers), Distillation(steps=self.steps))
        share, sentence = gone(model, pruned)
        write(pruned, processor, source, place, sentence)
        return Pruned(share, tuple(notes))


def planned(
    model: OpenAutoGLM, share: float, fitting: Calibration, measuring: Calibration, report: Report
) -> tuple[Plan, list[str]]:
    """What each tower keeps, and a sentence on each that does not have so much to take away."""
    widths, notes = dict[str, int](), list[str]()
    for tower in TOWERS:
        report(f"Scanning the {tower} tower")
        try:
            widths |= plan_for(sensitivity(model, tower, fitting, measuring), share).widths
        except SettingError as error:
            notes.append(f"The {tower} tower stays whole: {error}")
    return Plan(widths), notes


def sentences_of(source: Bundle, checks: Checks) -> Sequence[str]:
    """What is given to fit on, and the bundle's names in several wordings; none of a name that it is compared on."""
    compared = {plain(sentence) for sentence in checks.sentences}
    worded = [[wording.format(name) for wording in WORDINGS] for name in names(source)]
    groups = [*worded, *([sentence] for sentence in checks.fitting)]
    return [one for group in groups if compared.isdisjoint(map(plain, group)) for one in group]


def scanned(items: Sequence[T], most: int) -> tuple[Sequence[T], Sequence[T]]:
    """Some to fit a scan on, at most so many, and others that it measures on; one alone is both."""
    fitting, measuring = parted(items)
    return spread(fitting or items, most), spread(measuring, SCANNED)


def spread(items: Sequence[T], count: int) -> Sequence[T]:
    """At most so many, from all over."""
    return [items[place * len(items) // count] for place in range(count)] if len(items) > count else items


def lesson(fitting: Calibration, model: OpenAutoGLM, towers: Collection[str]) -> Calibration:
    """What the pruned towers learn on; a tower that is whole has nothing to learn, but where a decoder needs both."""
    if model.answering is not None:
        return fitting
    return Calibration(
        fitting.pictures if "vision" in towers else (),
        fitting.sentences if "text" in towers else (),
    )


def parameters(model: OpenAutoGLM, tower: str) -> int:
    """Those that pruning counts: the picture tower's, or the text tower's without its embeddings."""
    part = model.vision.tower if tower == "vision" else getattr(model.text.tower, "encoder", model.text.tower)
    return sum(parameter.numel() for parameter in part.parameters())


def gone(full: OpenAutoGLM, pruned: OpenAutoGLM) -> tuple[float, str]:
    """The share of both towers' parameters that went, and the sentence that a card says about it."""
    before, after = ([parameters(model, tower) for tower in TOWERS] for model in (full, pruned))
    share = 1 - sum(after) / sum(before)
    parts = [f"{1 - left / had:.0%} of {tower}'s" for tower, left, had in zip(TOWERS, after, before, strict=True)]
    return share, f"Pruned: {share:.0%} of its towers' parameters are gone ({' and '.join(parts)})."


def write(model: OpenAutoGLM, processor: OpenAutoGLMProcessor, source: Bundle, place: Path, sentence: str) -> None:
    """The bundle, with what the full one says of itself and a sentence more."""
    manifest = source.manifest
    card = (source.path / "README.md").read_text(encoding="utf-8")
    make_bundle(
        model.requires_grad_(False),
        processor,
        place,
        manifest.name,
        sources=manifest.sources,
        card=f"{card.rstrip()}\n\n{sentence}\n",
        template=str(manifest.preprocessing["text"]["template"]),
        packed=source.weights.packed,
    )
    for file in (manifest.vocabulary[part] for part in ("names", "vectors") if part in manifest.vocabulary):
        shutil.copy2(source.path / file, place / file)
    made = bundles.read_manifest(place)
    bundles.seal(place, replace(made, calibration=manifest.calibration, vocabulary=manifest.vocabulary))
