"""Which of some labels a picture fits: calibrated probabilities, with "none of these" among them.

It knows labels and a model's scores; it knows nothing of how pictures and sentences become vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError
from .calibration import NONE_OF_THESE, Match

if TYPE_CHECKING:
    from .model import Model


def classified(model: Model, names: Sequence[str], views: NDArray[np.float32]) -> dict[str, float]:
    """The probability of each of checked labels for a picture's vectors [views, d], the best first."""
    queries = model.embed_queries([model.template.format(name) for name in names])
    scores = model.similarity(queries, (views if model.similarity.needs_parts else views[:1])[None])[:, 0]
    evidence = model.calibration.evidence(Match.WHOLE, queries.vectors, scores)
    evidence = np.append(evidence, model.calibration.none(Match.WHOLE))
    weights = np.exp(evidence - evidence.max())
    named = zip([*names, NONE_OF_THESE], (weights / weights.sum()).tolist(), strict=True)
    return dict(sorted(named, key=lambda pair: -pair[1]))


def check_labels(names: Sequence[str]) -> None:
    """Raises SettingError for labels that are missing, given twice or reserved."""
    if not names:
        raise SettingError("Give at least one label to choose from.")
    folded = [name.strip().casefold() for name in names]
    if NONE_OF_THESE in folded:
        raise SettingError(f'"{NONE_OF_THESE}" is always among the answers: leave it out of the labels.')
    twice = next((name for name in names if folded.count(name.strip().casefold()) > 1), None)
    if twice is not None:
        raise SettingError(f"The label {twice!r} is given twice: give each label once.")
