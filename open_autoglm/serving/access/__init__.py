"""Who may do what: callers, how they are recognised, and what the policy allows them.

It knows tokens, keys and the policy; it knows nothing of models, indexes or pictures.
"""

from __future__ import annotations

from .caller import ANONYMOUS, Caller, check, permits, spend

__all__ = ["ANONYMOUS", "Caller", "check", "permits", "spend"]
