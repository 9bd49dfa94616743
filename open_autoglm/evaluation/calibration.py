"""Fits and judges probabilities: logistic regression of "it matches", and the expected calibration error.

It knows arrays of scores and outcomes; it knows nothing about pictures or models.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from open_autoglm.runtime.calibration import Fit


def fit_match(
    scores: NDArray[np.float32],
    reach: NDArray[np.float32],
    matches: NDArray[np.bool_],
    false_positives: float = 0.10,
    ridge: float = 1e-4,
) -> Fit:
    """Logistic regression of ``matches`` on ``scores`` and ``reach``, all [n], both outcomes weighted alike.

    The margin is set so that a share ``false_positives`` of what does not match passes a search's cut.
    """
    features = np.stack([scores, reach, np.ones_like(scores)], axis=1).astype(np.float64)
    solution = logistic(features, matches, ridge)
    on_score, on_reach, constant = solution
    offset, slope = -constant / on_score, -on_reach / on_score
    above = (scores - offset - slope * reach)[~matches]
    margin = float(np.quantile(above, 1 - false_positives))
    return Fit(temperature=float(1 / on_score), offset=float(offset), slope=float(slope), margin=margin)


def logistic(features: NDArray[np.float64], outcomes: NDArray[np.bool_], ridge: float = 1e-4) -> NDArray[np.float64]:
    """Weights [d] of logistic regression of ``outcomes`` [n] on ``features`` [n, d], both outcomes weighted alike.

    Newton's method with a small ridge.
    """
    weights = np.where(outcomes, 0.5 / outcomes.mean(), 0.5 / (1 - outcomes.mean()))
    solution = np.zeros(features.shape[1])
    for _ in range(100):
        chance = 1 / (1 + np.exp(-features @ solution))
        gradient = features.T @ (weights * (chance - outcomes)) / len(features) + ridge * solution
        curvature = (features * (weights * chance * (1 - chance))[:, None]).T @ features / len(features)
        step = np.linalg.solve(curvature + ridge * np.eye(len(solution)), gradient)
        solution -= step
        if np.abs(step).max() < 1e-9:
            break
    return solution


def fit_temperature(logits: NDArray[np.float32], right: NDArray[np.int64]) -> float:
    """The temperature, 0.05..20, at which logits [n, answers] give the right ones [n] the highest likelihood.

    The likelihood has one maximum in the inverse temperature (1706.04599): found by ternary search.
    """
    rows, values = np.arange(len(right)), logits.astype(np.float64)

    def loss(inverse: float) -> float:
        scaled = values * inverse
        highest = scaled.max(axis=1, keepdims=True)
        total = highest[:, 0] + np.log(np.exp(scaled - highest).sum(axis=1))
        return float((total - scaled[rows, right]).mean())

    low, high = 1 / 20, 20.0
    while high - low > 1e-4:
        third = (high - low) / 3
        if loss(low + third) < loss(high - third):
            high -= third
        else:
            low += third
    return 2 / (low + high)


def expected_calibration_error(confidence: NDArray[np.float32], correct: NDArray[np.bool_], bins: int = 10) -> float:
    """The mean gap between stated confidence and share correct, [n] each, over equally filled bins, in 0..1."""
    parts = np.array_split(np.argsort(confidence), bins)
    gaps = [abs(confidence[part].mean() - correct[part].mean()) * len(part) for part in parts if len(part)]
    return float(sum(gaps) / len(confidence))
