"""Makes a model's towers smaller: units and weights that matter least go, and the rest learns to make up for them.

It knows the model; it knows nothing about bundles or graphs.
"""

from .calibration import Calibration
from .distillation import distil
from .distillation_settings import Distillation
from .magnitude import Gradual, KeepPruned, prune_weights
from .plan import Plan, plan_for
from .scan import Curve, Scan, Step, sensitivity
from .structured import prune
from .towers import tower_of

__all__ = [
    "Calibration",
    "Curve",
    "Distillation",
    "Gradual",
    "KeepPruned",
    "Plan",
    "Scan",
    "Step",
    "distil",
    "plan_for",
    "prune",
    "prune_weights",
    "sensitivity",
    "tower_of",
]
