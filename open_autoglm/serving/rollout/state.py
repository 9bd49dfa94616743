"""What is live, and the rollout under way: the little that every process must agree on.

It knows facts and their JSON; it knows nothing of where they are kept or who changes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from .kinds import KINDS, Kind
from .plan import Plan

Quality = Literal["probe", "agreement"]
Ending = Literal["started", "step", "promoted", "rolled back", "aborted"]


@dataclass(frozen=True)
class Going:
    """A rollout under way: ``candidate`` against ``live``, versions of the model that is called ``public``.

    ``live``: kind of work -> the version that does it, which differ where an earlier candidate was of another space.
    ``kinds``: what the candidate may answer meanwhile. ``quality``: which test judges its ranking;
    None where nothing can. ``step``: 0 before it answers anybody, else of ``plan.steps``. ``began`` and ``stepped``:
    seconds since the epoch. ``compared`` requests so far, ``compared_before`` when the step began.
    """

    id: str
    public: str
    live: Mapping[str, str]
    candidate: str
    same_space: bool
    kinds: tuple[Kind, ...]
    quality: Quality | None
    plan: Plan
    began: float
    stepped: float
    step: int = 0
    compared: int = 0
    compared_before: int = 0

    @property
    def taken_over(self) -> tuple[Kind, ...]:
        """What the candidate does once it is live: vectors of another space would not fit what was embedded before."""
        return KINDS if self.same_space else ("answers",)

    @property
    def weight(self) -> float:
        """The share of people whom the candidate answers."""
        return self.plan.weight(self.step)


@dataclass(frozen=True)
class State:
    """``live``: public name -> kind of work -> the version that does it; the served default where it has none.

    ``bundles``: version -> the bundle that a rollout loaded it from, so that a server that starts again finds it.
    """

    live: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    bundles: Mapping[str, str] = field(default_factory=dict)
    going: Going | None = None

    def written(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> State:
        """What ``written`` wrote."""
        fields = json.loads(text)
        going = fields["going"]
        if going is not None:
            going = Going(**{**going, "plan": Plan.read(going["plan"]), "kinds": tuple(going["kinds"])})
        return cls(fields["live"], fields["bundles"], going)

    def promoted(self) -> State:
        """The candidate is live for what it was allowed, and no rollout is under way."""
        if self.going is None:
            return self
        after = dict(self.going.live) | dict.fromkeys(self.going.taken_over, self.going.candidate)
        return replace(self, live={**self.live, self.going.public: after}, going=None)

    def ended(self) -> State:
        """No rollout is under way, and everything is answered as before it."""
        return replace(self, going=None)

    @property
    def wanted(self) -> set[str]:
        """The versions that somebody may be answered by."""
        versions = {version for kinds in self.live.values() for version in kinds.values()}
        return versions | ({*self.going.live.values(), self.going.candidate} if self.going else set())


@dataclass(frozen=True)
class Decision:
    """What was decided, when (seconds since the epoch), by whom (``rule``, or a person), why, and on which figures."""

    at: float
    rollout: str
    kind: Ending
    by: str
    sentence: str
    figures: Mapping[str, Any]
