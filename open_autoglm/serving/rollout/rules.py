"""What the figures of a rollout call for: go on, go back, or wait, with a sentence that says why.

It is a function of plan, progress and figures; it knows nothing of time passing, storage or models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from .figures import (
    AGREEMENT,
    CANDIDATE_ERRORS,
    CANDIDATE_FEEDBACK,
    ERRORS,
    LATENCY,
    LIVE_ERRORS,
    LIVE_FEEDBACK,
    PROBE,
)
from .sequential import Interval
from .state import Going

Figures = Mapping[str, Interval]
_NOTHING = Interval(0.0, -1.0, 1.0, 0)


@dataclass(frozen=True)
class Verdict:
    """``call`` is what to do; ``sentence`` says why, or what is waited for."""

    call: Literal["back", "step", "promote", "wait"]
    sentence: str


def judge(going: Going, figures: Figures, now: float, deaths: int = 0) -> Verdict:
    """Back as soon as one rule is broken; else on, once every rule is proven to be kept."""
    broken = next(_broken(going, figures, deaths), None)
    if broken:
        return Verdict("back", broken)
    missing = next(_missing(going, figures, now), None)
    if missing:
        return Verdict("wait", missing)
    proven = f"It is proven to be no worse than the rules allow, after {going.compared:,} comparisons."
    if going.kinds and going.step < len(going.plan.steps):
        return Verdict("step", proven)
    if going.plan.by_hand:
        return Verdict("wait", "Every rule is kept; it waits for a person to promote it.")
    return Verdict("promote", proven)


def _broken(going: Going, figures: Figures, deaths: int) -> Iterator[str]:
    rules = going.plan.rules
    if deaths >= rules.deaths:
        yield f"{deaths} workers in a row died with the candidate."
    quality = figures.get(going.quality or "", _NOTHING)
    if going.quality == PROBE and quality.high < -rules.worse:
        yield f"It ranks worse: its mean score on the probe is lower by {_between(quality)}."
    if going.quality == AGREEMENT and quality.high < -rules.disagreement:
        yield f"It answers otherwise: the two agree less than one agrees with itself, by {_between(quality)}."
    errors = figures.get(ERRORS, _NOTHING)
    if errors.low > rules.errors:
        yield f"It fails more often, by {_percent(errors)} of the requests that both were sent."
    latency = figures.get(LATENCY, _NOTHING)
    if latency.low > 0:
        share = (1 + latency.mean) / 2
        yield f"It is slower: {share:.0%} of its answers take more than {rules.slower:g} times as long."
    mine, theirs = figures.get(CANDIDATE_ERRORS, _NOTHING), figures.get(LIVE_ERRORS, _NOTHING)
    if -mine.high > -theirs.low + rules.errors:
        yield f"It fails more of the people it answers: {-mine.mean:.1%}, and the live version {-theirs.mean:.1%}."
    liked, usual = figures.get(CANDIDATE_FEEDBACK, _NOTHING), figures.get(LIVE_FEEDBACK, _NOTHING)
    if liked.high < usual.low - rules.worse:
        yield f"What people choose stands lower: {liked.mean:.3f}, and {usual.mean:.3f} with the live version."


def _missing(going: Going, figures: Figures, now: float) -> Iterator[str]:
    plan, rules = going.plan, going.plan.rules
    if going.quality is None:
        yield (
            "Nothing can tell whether a candidate of another space ranks better: start it with a probe of known "
            "queries, or promote it by hand."
        )
    here, passed = going.compared - going.compared_before, now - going.stepped
    if here < plan.requests:
        yield f"{here} of {plan.requests} requests were compared at this step."
    if passed < plan.seconds:
        yield f"{passed:.0f} of {plan.seconds:g} seconds have passed at this step."
    quality = figures.get(going.quality or "", _NOTHING)
    allowed = rules.margin if going.quality == PROBE else rules.disagreement
    if quality.low <= -allowed:
        yield f"It is not yet proven that it ranks worse by less than {allowed:g} ({_between(quality)})."
    errors = figures.get(ERRORS, _NOTHING)
    if errors.high >= rules.errors_margin:
        yield f"It is not yet proven that it fails less than {rules.errors_margin:.1%} more often ({_percent(errors)})."
    if figures.get(LATENCY, _NOTHING).mean > 0:
        yield f"More than half of its answers take more than {rules.slower:g} times as long."


def _between(drop: Interval) -> str:
    return f"{-drop.mean:.3f}, between {-drop.high:.3f} and {-drop.low:.3f}"


def _percent(more: Interval) -> str:
    return f"{more.mean:.1%}, between {more.low:.1%} and {more.high:.1%}"
