"""A new model takes traffic only as far as it proves itself: canary, shadow, a sequential test, and the way back.

It knows models by what they are asked and answer; it knows nothing of how they run.
"""

from __future__ import annotations

from .attendant import Loader
from .models import Rollout
from .plan import Plan, Rules
from .settings import RolloutSettings
from .store import Store

__all__ = ["Loader", "Plan", "Rollout", "RolloutSettings", "Rules", "Store"]
