"""Measures a bundle on a data source: retrieval where pictures have captions, zero-shot where they have classes.

It joins data, the runtime's model and the metrics; it knows nothing about training or how figures are shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from open_autoglm.data.records import Records
from open_autoglm.errors import SettingError
from open_autoglm.runtime.calibration import Match
from open_autoglm.runtime.model import Model
from open_autoglm.runtime.similarity import SIMILARITIES, Queries, Similarity

from .classification import ProbabilityFigures, class_queries, classification, probability_figures
from .comparison import Comparison
from .directions import Floats
from .examples import Gallery
from .material import Pictures, Texts, class_texts, embed_captions, embed_pictures, has_captions, related
from .result import Evaluation, EvaluationSettings, ZeroShot

__all__ = ["Evaluation", "EvaluationSettings", "evaluate"]


def evaluate(
    model: Model,
    records: Records,
    settings: EvaluationSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measures ``model`` on ``records``.

    ``progress`` is told how many pictures of how many are embedded. A picture or text that cannot be used is named in
    ``problems``. Raises DataError where no picture is left, SettingError for a similarity the model has not.
    """
    began, trained = time.perf_counter(), model.bundle.manifest.similarity["kind"]
    settings = settings or EvaluationSettings()
    settings = replace(settings, similarity=settings.similarity or trained)
    similarity = _similarity(model, settings)
    problems = list(records.problems)
    words = class_texts(records, settings.templates, model.template)
    captioned, classed = has_captions(records), bool((records.class_ids >= 0).any())
    views = settings.views is Match.BEST_VIEW or similarity.needs_parts
    pictures = embed_pictures(model, records, views, problems, settings.batch_size, progress)
    retrieval, zero_shot, compared = None, None, None
    if classed:
        classes = _classes(model, records, pictures, words)
        compared = Comparison.of(classes, pictures, similarity)
        zero_shot = _zero_shot(model, records, settings, words, compared)
    if captioned:
        texts = embed_captions(model, records, pictures, problems)
        compared = retrieval = Comparison.of(texts, pictures, similarity)
    gallery = Gallery(pictures.records, model.limits)
    return Evaluation(
        bundle=model.name,
        space=model.space,
        data=records.source,
        fingerprint=records.fingerprint,
        settings=settings,
        rows=records.rows,
        pictures=len(pictures.records),
        texts=len(retrieval.texts.texts) if retrieval else 0,
        image_to_text=retrieval.image_to_text(settings.ks) if retrieval else None,
        text_to_image=retrieval.text_to_image(settings.ks) if retrieval else None,
        zero_shot=zero_shot,
        problems=tuple(problems),
        seconds=time.perf_counter() - began,
        text_examples=compared.text_examples(gallery, settings.examples) if compared else (),
        picture_examples=compared.picture_examples(gallery, settings.examples) if compared else (),
        mistakes=compared.mistakes(gallery, settings.examples) if compared else (),
    )


def _similarity(model: Model, settings: EvaluationSettings) -> Similarity:
    """The model's own, or another that needs nothing trained."""
    chosen = str(settings.similarity)
    if chosen == model.bundle.manifest.similarity["kind"]:
        return model.similarity
    made = SIMILARITIES[chosen](None)
    if made.needs_parts:
        raise SettingError(f"{model.name} was not trained to compare words with regions: choose cosine.")
    return made


def _classes(model: Model, records: Records, pictures: Pictures, words: Sequence[tuple[str, ...]]) -> Texts:
    """The classes as texts, each shown by its first sentence."""
    of_pictures = [{int(records.class_ids[index]) for index in members} - {-1} for members in pictures.members]
    of_classes = [{number} for number in range(len(records.classes))]
    return Texts(
        tuple(mine[0] for mine in words),
        class_queries(model.embed_queries, words),
        related(of_classes, of_pictures),
        related(of_pictures, of_classes),
    )


def _zero_shot(
    model: Model,
    records: Records,
    settings: EvaluationSettings,
    words: Sequence[tuple[str, ...]],
    compared: Comparison,
) -> ZeroShot:
    classes = compared.texts
    chosen = np.array([number for number, mine in enumerate(classes.texts_of) if len(mine)])
    truth = np.zeros((len(chosen), len(records.classes)), np.bool_)
    for row, number in enumerate(chosen):
        truth[row, classes.texts_of[number]] = True
    scores = compared.scores(chosen)
    precisions = compared.by_text.precisions.tolist()
    return ZeroShot(
        texts=dict(zip(records.classes, words, strict=True)),
        pictures=len(chosen),
        classification=classification(scores, truth, records.classes),
        retrieval=compared.text_to_image(settings.ks),
        average_precision={
            name: value for name, value in zip(records.classes, precisions, strict=True) if not np.isnan(value)
        },
        probabilities=_probabilities(model, settings, classes.queries, scores, truth),
    )


def _probabilities(
    model: Model, settings: EvaluationSettings, queries: Queries, scores: Floats, truth: np.ndarray
) -> ProbabilityFigures | None:
    """As ``Model.classify`` makes them; None for a similarity that it does not use."""
    if settings.similarity != model.bundle.manifest.similarity["kind"]:
        return None
    evidence = model.calibration.evidence(settings.views, queries.vectors, scores)
    return probability_figures(evidence, truth, model.calibration.none(settings.views))
