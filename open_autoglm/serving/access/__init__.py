"""Who may do what: callers, how they are recognised, and what the policy allows them.

It knows tokens, keys and the policy; it knows nothing of models, indexes or pictures.
"""

from __future__ import annotations

from ..caller import ANONYMOUS, Caller
from .permits import Gate, Permits, check, permits, spend
from .settings import AccessSettings, Quota

__all__ = [
    "ANONYMOUS",
    "AccessSettings",
    "Caller",
    "Gate",
    "Permits",
    "Quota",
    "check",
    "permits",
    "spend",
]
