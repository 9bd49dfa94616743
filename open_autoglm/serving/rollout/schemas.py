"""The shapes of the rollout's requests and replies.

They know nothing of how a rollout goes on.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .kinds import Kind
from .plan import Plan, Rules
from .state import Ending

_RULES = Rules()


class RulesRequest(BaseModel):
    """When a candidate is rolled back, and when it goes on; what is left out is as by default."""

    model_config = ConfigDict(extra="forbid")

    alpha: float = Field(_RULES.alpha, description="The chance of a false alarm, over all tests and all looks.")
    worse: float = Field(_RULES.worse, description="Back once the probe's mean score is proven lower by more.")
    margin: float = Field(_RULES.margin, description="On once it is proven lower by less.")
    disagreement: float = Field(_RULES.disagreement, description="The same two for agreement, beyond its own noise.")
    errors: float = Field(_RULES.errors, description="Back once it is proven to fail more often by more.")
    errors_margin: float = Field(_RULES.errors_margin, description="On once it is proven to fail more often by less.")
    slower: float = Field(_RULES.slower, description="Back once the median ratio of times is proven above this.")
    deaths: int = Field(_RULES.deaths, description="Back after so many workers in a row died.")


class RolloutRequest(BaseModel):
    """``start`` a rollout, or ``promote`` or ``abort`` the one under way; only a start takes more."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"action": "start", "candidate": "photos@2", "shadow": 0.1}, {"action": "abort"}]
        },
    )

    action: Literal["start", "promote", "abort"]
    candidate: str = Field("", max_length=1000, description="A served version, or a bundle on the server.")
    model: str = Field("", max_length=200, description="The public name; by default the first that is served.")
    shadow: float = Field(0.1, description="The share of requests whose copy is compared.")
    canary: list[Kind] | None = Field(None, description="What it may answer; by default all that it can.")
    steps: list[float] = Field(list(Plan("x").steps), max_length=20, description="The shares of people it answers.")
    requests: int = Field(Plan("x").requests, description="The least comparisons at each step.")
    seconds: float = Field(Plan("x").seconds, description="The least time at each step.")
    probe: str | None = Field(None, max_length=1000, description="A folder of pictures or a file, on the server.")
    by_hand: bool = Field(False, description="Whether only a person makes it live.")
    rules: RulesRequest | None = Field(None, description="What is left out is as by default.")

    def plan(self) -> Plan:
        """Raises SettingError."""
        return Plan(
            candidate=self.candidate,
            model=self.model,
            shadow=self.shadow,
            canary=None if self.canary is None else tuple(self.canary),
            steps=tuple(self.steps),
            requests=self.requests,
            seconds=self.seconds,
            probe=self.probe,
            by_hand=self.by_hand,
            rules=Rules(**self.rules.model_dump()) if self.rules else Rules(),
        )


class IntervalReply(BaseModel):
    """A mean and between what the true one lies, whenever it is looked at; ``n``: over how many."""

    mean: float
    low: float
    high: float
    n: int


class GoingReply(BaseModel):
    """The rollout under way. ``figures``: candidate less live, by test; ``means``: what no rule looks at, by name."""

    id: str
    public: str
    live: dict[str, str]
    candidate: str
    same_space: bool
    kinds: list[Kind]
    quality: str | None
    plan: dict[str, Any]
    began: float
    stepped: float
    step: int
    compared: int
    compared_before: int
    weight: float
    waits_for: str
    dropped: int
    figures: dict[str, IntervalReply]
    means: dict[str, float]


class DecisionReply(BaseModel):
    """What was decided, when (seconds since the epoch), by whom, why, and on which figures."""

    at: float
    rollout: str
    kind: Ending
    by: str
    sentence: str
    figures: dict[str, IntervalReply]


class MomentReply(BaseModel):
    """How the figures stood when so many requests were compared."""

    compared: int
    figures: dict[str, IntervalReply]


class RolloutReply(BaseModel):
    """What is live, by name and kind of work; the rollout under way; its moments, or the last one's; decisions."""

    live: dict[str, dict[str, str]]
    rollout: GoingReply | None
    moments: list[MomentReply]
    decisions: list[DecisionReply]


class FeedbackRequest(BaseModel):
    """Which result somebody chose, of a reply by ``model``: its place from 1, or null where none was of use."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"model": "photos@2", "rank": 1}]})

    model: str = Field(max_length=200, description="The model as the reply names it.")
    rank: int | None = Field(ge=1, description="The place of the chosen result; 1 for an answer that was of use.")

    @property
    def score(self) -> float:
        """The reciprocal rank, in 0..1."""
        return 1 / self.rank if self.rank else 0.0


class FeedbackReply(BaseModel):
    """Whether it counts: a rollout of that version runs, and it is this person's first in the minute."""

    counted: bool
