"""Training objectives, and what they need: queue, momentum encoder, gathered negatives, cached gradients.

They know vectors and keys, and compare them with a similarity of ``modeling``; they know nothing about data, recipes
or optimisers.
"""

from collections.abc import Callable, Mapping

from .contrastive import Contrastive
from .gather import gather
from .gradcache import GradCache
from .hard_negatives import hard_negatives
from .momentum import MomentumEncoder, MomentumSchedule
from .objective import Objective, Result
from .pairs import Pairs, concatenate, shares_key
from .queue_contrastive import QueueContrastive
from .siglip import SigLIP
from .step import Batch, Encode, Step
from .temperature import clamp_temperature_, inverse_temperature
from .triplet import Triplet
from .weighted_sum import WeightedSum

OBJECTIVES: Mapping[str, Callable[..., Objective]] = {
    "contrastive": Contrastive,
    "queue_contrastive": QueueContrastive,
    "siglip": SigLIP,
    "triplet": Triplet,
    "weighted_sum": WeightedSum,
}
"""By name; the constructor's arguments are the settings of a recipe."""

__all__ = [
    "OBJECTIVES",
    "Batch",
    "Contrastive",
    "Encode",
    "GradCache",
    "MomentumEncoder",
    "MomentumSchedule",
    "Objective",
    "Pairs",
    "QueueContrastive",
    "Result",
    "SigLIP",
    "Step",
    "Triplet",
    "WeightedSum",
    "clamp_temperature_",
    "concatenate",
    "gather",
    "hard_negatives",
    "inverse_temperature",
    "shares_key",
]
