"""What the scores of a trained bundle mean, fitted on its validation pictures: the relevance cut, "none of these".

It knows a bundle and records; how a fit is made, ``evaluation`` knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle
from open_autoglm.data import Records
from open_autoglm.data.pictures import source_of
from open_autoglm.evaluation.calibration import fit_match, fit_temperature
from open_autoglm.evaluation.reranking import Candidates
from open_autoglm.runtime.calibration import Match
from open_autoglm.runtime.decoding import ImageLimits
from open_autoglm.runtime.model import Model

from .matching import RERANKED, queries_of
from .material import captions_of, sample
from .recipe import TaskName

PICTURES = 500  # enough for two numbers; a few seconds
_BATCH = 16


def calibration(bundle: Path, task: TaskName, kept: Records | None, limits: ImageLimits, seed: int) -> dict[str, Any]:
    """The manifest's calibration from the pictures that were kept back; empty without any, and for texts."""
    if kept is None or task == "describe":
        return {}
    chosen = sample(kept, PICTURES, seed)
    made: dict[TaskName, Callable[[Model, Records], dict[str, Any]]] = {
        "align": alignment_calibration,
        "answer": answer_calibration,
        "match": match_calibration,
    }
    return made[task](Model(Bundle.open(bundle), limits=limits), chosen)


def alignment_calibration(model: Model, chosen: Records) -> dict[str, Any]:
    """What scores mean, from every picture against every caption of all.

    Empty where they say nothing: every picture matches every caption, or matching ones do not score higher.
    """
    captions, positive = captions_of(chosen)
    matches = positive.T.ravel()
    if matches.all():
        return {}
    views = seen(model, chosen)
    queries = model.embed_queries(captions)
    wholes = views if model.similarity.needs_parts else views[:, :1]
    fits = {}
    for kind, compared in ((Match.WHOLE, wholes), (Match.BEST_VIEW, views)):
        scores = model.similarity(queries, compared).ravel()
        fit = fit_match(scores, np.zeros_like(scores), matches)
        if not (np.isfinite(list(asdict(fit).values())).all() and fit.temperature > 0):
            return {}
        fits[kind.value] = asdict(fit)
    return {"fits": fits, "measured_on": f"{len(chosen):,} validation pictures, {len(captions):,} captions"}


def match_calibration(model: Model, chosen: Records) -> dict[str, Any]:
    """The alignment's, and how what speaks for a match is weighed, fitted on what a search would look at twice."""
    captions, positive = queries_of(chosen)
    views = seen(model, chosen)
    scores = model.similarity(model.embed_queries(captions), views)
    candidates = Candidates.best(scores, positive, RERANKED)
    logits = np.zeros(candidates.scores.shape, np.float32)
    for row, record in enumerate(chosen):
        queries, places = np.nonzero(candidates.pictures == row)
        if len(queries):
            picture = source_of(record.picture, model.limits)
            logits[queries, places] = model.matching.logits(picture, [captions[query] for query in queries])
    fitted = candidates.fit(logits, model.matching.contrast(views), views[:, 0])
    weights = {"match": asdict(fitted.single), "rerank": asdict(fitted.among)}
    return {**alignment_calibration(model, chosen), **weights}


def seen(model: Model, chosen: Records) -> NDArray[np.float32]:
    """The pictures' vectors [n, views, dimension]."""
    starts = range(0, len(chosen), _BATCH)
    batches = (
        [source_of(record.picture, model.limits) for record in chosen[start : start + _BATCH]] for start in starts
    )
    return np.concatenate([model.embed_prepared(np.stack([model.prepare(one) for one in batch])) for batch in batches])


def answer_calibration(model: Model, chosen: Records) -> dict[str, Any]:
    """How sure an answer is: a temperature (1706.04599), and the confidence below which nothing is said.

    Said is what is more likely right than not; where there are two answers only, what is right three times in five.
    """
    answering = model.fusion
    places = {answer: place for place, answer in enumerate(answering.answers)}
    logits, right = list[NDArray[np.float32]](), list[int]()
    for record in chosen:
        looked = answering.look(model.prepare(source_of(record.picture, model.limits)))
        logits.append(answering.judge(looked, record.captions)[0])
        right += [places[answer] for answer in record.answers]
    temperature = fit_temperature(np.concatenate(logits), np.array(right))
    least = 0.6 if len(places) == 2 else 0.5
    return {
        "answers": {"temperature": temperature, "least_confidence": least},
        "measured_on": f"{len(chosen):,} validation pictures, {len(right):,} questions",
    }
