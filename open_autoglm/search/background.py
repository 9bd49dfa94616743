"""How high pictures of an index score for sentences that have nothing to do with them, and what that makes of a cut.

A bundle's relevance cut was fitted on other pictures; it knows how to fit it to these. It knows nothing about storage.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import TextError
from ..runtime.similarity import Queries, Similarity

if TYPE_CHECKING:
    from ..runtime.model import Model

Floats = NDArray[np.float32]

SAMPLE = 128  # pictures that stand for an index
GROWTH = 1.25  # measured again when there are so many times more pictures, or fewer
FEWEST_TEXTS = 8
# All sorts of things, of which any collection has few.
UNRELATED = (
    *("a cup of coffee", "a mountain lake", "a wooden chair", "a birthday cake", "a sailing boat", "a police officer"),
    *("a violin", "a tax form", "a glass of water", "a spider web", "a football match", "an old map", "a hospital bed"),
    *("a pair of scissors", "a snowy street", "a tractor in a field", "a wedding", "a computer keyboard", "a goldfish"),
    *("a lighthouse", "a brick wall", "a bunch of flowers", "a bus stop", "a tiger", "a space rocket", "a guitar"),
    *("a bookshelf", "a swimming pool", "a bowl of soup", "a motorcycle", "a church window", "a baby in a pram"),
    *("a desert", "a hammer", "a butterfly", "a chess board", "a railway bridge", "a teddy bear", "a traffic light"),
    *("a campfire", "a kitchen sink", "an umbrella", "a horse", "a clock", "a waterfall", "a screwdriver", "a castle"),
    *("a crowd of people", "a city at night", "a pencil drawing", "a loaf of bread", "a telephone", "a dentist"),
    *("a bicycle", "a frozen pizza", "a parrot", "a staircase", "a suitcase", "a rainbow", "a washing machine"),
    *("a beach", "a lemon", "a woollen jumper", "a microscope"),
)
SPREAD = 0.84  # the quantile that lies one standard deviation over the median of a normal distribution

# Chosen on photos of COCO, of clothing and of groceries (validation): see benchmarks/looks.py.
ENOUGH = 32  # pictures from which on an index has more to say than its bundle
STEPS = 3.0  # spreads over the background's median where a match begins
SHARE = 0.5  # of that, the other half being the bundle's cut
OWN = 0.4  # of how much higher a sentence's own median lies than that of unrelated ones


@dataclass(frozen=True)
class Background:
    """Scores of unrelated sentences over a ``sample`` of so many ``pictures``, by id, each less the bundle's cut.

    ``middle`` and ``spread``: their median and how far the 84th percentile lies over it. ``likeness`` and
    ``likeness_spread``: the same of the cosines of wholes. Quantiles, because the few that match after all are no
    background. The defaults, without a sample, stand for an index that was not measured.
    """

    pictures: int = 0
    middle: float = 0.0
    spread: float = 0.08
    likeness: float = 0.0
    likeness_spread: float = 0.16
    sample: tuple[int, ...] = ()

    @classmethod
    def read(cls, text: str | None) -> Background:
        """What ``written`` made; the defaults for nothing."""
        if not text:
            return cls()
        facts = json.loads(text)
        return cls(**facts | {"sample": tuple(facts["sample"])})

    def written(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    def outgrown(self, pictures: int) -> bool:
        """Whether an index of so many pictures is another one by now."""
        low, high = sorted((pictures, self.pictures))
        return high > low * GROWTH

    def cuts(self, cuts: Floats, own: Floats) -> Floats:
        """The bundle's cuts [q], moved to where matches begin in this index.

        ``own`` [q]: the sentences' median scores over its pictures. Where all pictures are of a kind, each is somewhat
        near to every sentence about that kind, and the cut rises with them (cohort normalisation of scores, as in
        speaker verification); but not where the half of them passes, for the sentence may well mean them all.
        """
        trust = np.float32(self.pictures / (self.pictures + ENOUGH))
        moved = cuts + trust * np.float32(SHARE * (self.middle + STEPS * self.spread))
        higher = np.where(own >= moved, np.float32(0), own - cuts - np.float32(self.middle))
        fitted: Floats = (moved + trust * np.float32(OWN) * higher).astype(np.float32)
        return fitted


def measure(model: Model, sample: Sequence[int], views: Floats, pictures: int) -> Background:
    """The background of an index of so many ``pictures``, from the vectors [n, views, d] of a sample.

    Nothing but the defaults where nothing can be said: for too few sentences that the model knows, or pictures that are
    all the same to it. For a model that cuts nothing, the scores are as they are.
    """
    queries = unrelated(model)
    if len(views) < 2 or len(queries) < FEWEST_TEXTS:
        return Background(pictures)
    cuts = model.cutoff(queries.vectors)
    above = model.similarity(queries, views) - np.where(np.isfinite(cuts), cuts, np.float32(0))[:, None]
    wholes = views[:, 0]
    alike = (wholes @ wholes.T)[np.triu_indices(len(wholes), 1)]
    middle, spread = _middle_and_spread(above)
    likeness, likeness_spread = _middle_and_spread(alike)
    if not np.isfinite((middle, likeness)).all() or min(spread, likeness_spread) <= 0:
        return Background(pictures)
    return Background(pictures, middle, spread, likeness, likeness_spread, tuple(sample))


def medians(similarity: Similarity, queries: Queries, views: Floats) -> Floats:
    """The sentences' median scores [q] over a sample of pictures [n, views, d], at least one."""
    middle: Floats = np.median(similarity(queries, views), axis=1).astype(np.float32)
    return middle


def unrelated(model: Model) -> Queries:
    """UNRELATED, as far as the model knows their words."""
    try:
        return model.embed_queries(UNRELATED)
    except TextError:
        parts = [Queries.none(model.dimension, model.similarity.needs_parts)]
        for text in UNRELATED:
            try:
                parts.append(model.embed_queries([text]))
            except TextError:
                continue
        return Queries.joined(parts)


def _middle_and_spread(values: Floats) -> tuple[float, float]:
    middle, high = np.quantile(values, (0.5, SPREAD))
    return round(float(middle), 6), round(float(high - middle), 6)
