"""How probable it is that a picture shows what a sentence says, from all that was seen of it.

It knows calibration figures and vectors; it knows nothing about questions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError
from .calibration import Match
from .seeing import Seen
from .similarity import Queries

if TYPE_CHECKING:
    from .model import Model


def presence(model: Model, seen: Seen, queries: Queries) -> float:
    """The probability that a picture shows what one sentence says, both being equally likely beforehand.

    SettingError for a model that nobody measured what its scores mean.
    """
    odds = log_odds(model, seen, queries)
    return float(1 / (1 + np.exp(-np.clip(odds, -50, 50))))


def calibrated(model: Model) -> bool:
    """Whether somebody measured what the model's scores mean."""
    return not model.calibration.fits.keys().isdisjoint({Match.PRESENCE, Match.BEST_VIEW})


def log_odds(model: Model, seen: Seen, queries: Queries) -> float:
    """Logistic regression of "it is there" on the score, and on how high such a sentence can score."""
    fits = model.calibration.fits
    if Match.PRESENCE in fits:
        fit = fits[Match.PRESENCE]
        reach = model.vocabulary.reach(queries.vectors)[0]
        return float((score(model, seen, queries) - fit.offset - fit.slope * reach) / fit.temperature)
    if not calibrated(model):
        raise SettingError(
            f"{model.name} does not say what its scores mean, so no probability comes of them: "
            "ask with choices, or use open-autoglm-base."
        )
    scores = model.similarity(queries, seen.views[None])[:, 0]
    return float(model.calibration.evidence(Match.BEST_VIEW, queries.vectors, scores)[0])


def score(model: Model, seen: Seen, queries: Queries) -> float:
    """How well a picture fits a sentence: the mean of the whole, the best view, and the best small part of it."""
    parts = [seen.views[None, :1], seen.views[None]]
    if seen.grids:
        parts.append(seen.cells[None])
    return float(np.mean([model.similarity(queries, part)[0, 0] for part in parts]))
