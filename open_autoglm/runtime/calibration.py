"""What a similarity score means: the evidence that a picture matches a sentence, and where to cut.

It knows a bundle's calibration figures; it knows nothing about pictures or graphs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle

Floats = NDArray[np.float32]
NONE_OF_THESE = "none of these"


class Match(StrEnum):
    """Which score is judged: the whole picture's, that of its best view, or all that ``presence`` looks at."""

    WHOLE = "whole"
    BEST_VIEW = "best_view"
    PRESENCE = "presence"


@dataclass(frozen=True)
class Fit:
    """Logistic regression of "this picture matches" on its score and on the reach of the sentence.

    The log-odds are ``(score - offset - slope * reach) / temperature``, match and no match being equally likely
    beforehand. In a search most pictures do not match: its cut lies higher by ``margin``.
    """

    temperature: float
    offset: float
    slope: float
    margin: float


@dataclass(frozen=True)
class Calibration:
    """``fits`` by kind of score; ``reference`` [n, d]: what the picture tower can express, in the space's first d.

    A sentence's reach is its highest similarity to the reference: a sentence about something that the tower has no
    idea of can only ever score low, so its cut lies lower. Without a reference every sentence has the same. Without
    fits nothing is ever cut.
    """

    fits: dict[Match, Fit]
    reference: Floats

    @classmethod
    def read(cls, bundle: Bundle) -> Calibration:
        """The calibration that a bundle carries; an empty one where it carries none."""
        facts = bundle.manifest.calibration
        fits = {Match(name): Fit(**values) for name, values in facts.get("fits", {}).items()}
        nothing = np.zeros((0, bundle.manifest.dimension), np.float32)
        return cls(fits, bundle.weights.float32(facts["reference"]) if "reference" in facts else nothing)

    def reach(self, queries: Floats) -> Floats:
        """The highest similarity [q] that sentences [q, d] have to the reference."""
        if not len(self.reference):
            return np.zeros(len(queries), np.float32)
        best: Floats = (queries[:, : self.reference.shape[1]] @ self.reference.T).max(axis=1)
        return best

    def cutoff(self, match: Match, queries: Floats) -> Floats:
        """The scores [q] below which a search leaves pictures out; without a fit none is left out."""
        fit = self.fits.get(match)
        if fit is None:
            return np.full(len(queries), -np.inf, np.float32)
        return fit.offset + fit.slope * self.reach(queries) + np.float32(fit.margin)

    def none(self, match: Match) -> float:
        """The log-odds that nothing asked for is there, beside ``evidence``; without a fit it is no answer."""
        return 0.0 if match in self.fits else -np.inf

    def evidence(self, match: Match, queries: Floats, scores: Floats) -> Floats:
        """The log-odds [..., q] that pictures with these scores [..., q] match the sentences [q, d].

        Sentences stand in the order of their scores; the reach of the nearest decides whether any matches at all.
        """
        fit = self.fits.get(match, UNFITTED)
        nearest = np.expand_dims(scores.argmax(axis=-1), -1)
        shift = fit.offset + (fit.slope * self.reach(queries)[nearest] if fit.slope else np.float32(0))
        evidence: Floats = ((scores - shift) / fit.temperature).astype(np.float32)
        return evidence


# A dual encoder of unknown scale.
UNFITTED = Fit(temperature=0.01, offset=0.0, slope=0.0, margin=0.0)
