"""The tests of a rollout by name, and the figures that they stand at.

It knows which evidence there is and how it reads; it knows nothing of what is decided on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .plan import Plan
from .sequential import Evidence, Interval

# Differences, candidate less live, of pairs that answered the same request.
PROBE, AGREEMENT, ERRORS, LATENCY = "probe", "agreement", "errors", "latency"
# Means by version, of what people were answered with; errors count below 0, where the bounds are finest.
LIVE_ERRORS, CANDIDATE_ERRORS = "live errors", "candidate errors"
LIVE_FEEDBACK, CANDIDATE_FEEDBACK = "live feedback", "candidate feedback"

PAIRED = (PROBE, AGREEMENT, ERRORS, LATENCY)
BY_VERSION = (LIVE_ERRORS, CANDIDATE_ERRORS, LIVE_FEEDBACK, CANDIDATE_FEEDBACK)


@dataclass(frozen=True)
class Seen:
    """What one process saw since it last told: differences and means by test, sums of other figures, and counts.

    ``compared``: pairs; ``dropped``: copies for which there was no time. ``deaths``: workers that have died in a row
    with the candidate.
    """

    tests: Mapping[str, list[float]] = field(default_factory=dict)
    others: Mapping[str, list[float]] = field(default_factory=dict)
    compared: int = 0
    dropped: int = 0
    deaths: int = 0


def fresh(name: str, plan: Plan) -> Evidence:
    """The evidence of a test before anything was seen; its bounds are exact where the rules look."""
    rules = plan.rules
    exact = {
        PROBE: (-rules.worse, -rules.margin),
        AGREEMENT: (-rules.disagreement,),
        ERRORS: (rules.errors, rules.errors_margin),
    }
    return Evidence.none(exact.get(name, ()))


def intervals(evidence: Mapping[str, Evidence], plan: Plan) -> dict[str, Interval]:
    """Where each test's mean lies. A test of two versions has two intervals, which share its chance of being wrong."""
    each = plan.rules.each
    return {name: one.interval(each if name in PAIRED else each / 2) for name, one in evidence.items() if one.n}
