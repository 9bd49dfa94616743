"""What an operator wants of a rollout: the candidate, what it may answer, the steps, and the rules that end it.

It knows values and their limits; it knows nothing of what has happened so far.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from ...errors import SettingError
from .kinds import KINDS, Kind

ALARMS = 5  # tests that can end a rollout: ranking, errors of pairs, latency, errors of answers, feedback


@dataclass(frozen=True)
class Rules:
    """When a candidate is rolled back, and when it goes on; scores and shares are in 0..1.

    - ``alpha``: the chance that a candidate as good as the live version is ever rolled back, over all tests.
    - ``worse``: rolled back once the probe's mean score is proven to be lower by more than this.
    - ``margin``: goes on only once it is proven to be lower by less than this.
    - ``disagreement``: the same two where agreement is the rule: how much less the versions agree than one with itself.
    - ``errors``, ``errors_margin``: the same two for the share of requests that fail with the candidate alone.
    - ``slower``: rolled back once the median ratio of times is proven to be above this.
    - ``deaths``: rolled back after so many workers in a row died with the candidate.
    """

    alpha: float = 0.05
    worse: float = 0.0025
    margin: float = 0.01
    disagreement: float = 0.03
    errors: float = 0.002
    errors_margin: float = 0.01
    slower: float = 1.25
    deaths: int = 3

    def __post_init__(self) -> None:
        for name in ("alpha", "worse", "margin", "disagreement", "errors", "errors_margin"):
            value = getattr(self, name)
            if not 0 <= value < 1 or (name == "alpha" and value == 0):
                raise SettingError(f"The rule {name} is {value}: it must lie between 0 and 1.")
        if not (math.isfinite(self.slower) and self.slower > 1):
            raise SettingError(f"The rule slower is {self.slower}: it must be a ratio above 1, such as 1.25.")
        if self.deaths < 1:
            raise SettingError(f"The rule deaths is {self.deaths}: it must be at least 1.")
        for less, more in (("worse", "margin"), ("errors", "errors_margin")):
            if getattr(self, less) >= getattr(self, more):
                raise SettingError(f"The rule {less} must be below {more}, or a candidate could go both ways.")

    @property
    def each(self) -> float:
        """The chance of a false alarm that one test may have."""
        return self.alpha / ALARMS


@dataclass(frozen=True)
class Plan:
    """``candidate``: a served version or a bundle; ``model``: the public name it is for, by default the first.

    ``shadow``: the share of requests whose copy is compared. ``canary``: what the candidate may answer.

    ``steps``: the shares of people whom it answers, one after another; at each at least ``requests`` are compared and
    ``seconds`` pass. Before the first, it answers nobody. ``probe``: a file or a folder of pictures on the server.
    ``by_hand``: the steps are taken by rule, but only a person makes the candidate live. Raises SettingError.
    """

    candidate: str
    model: str = ""
    shadow: float = 0.1
    canary: tuple[Kind, ...] | None = None
    steps: tuple[float, ...] = (0.01, 0.05, 0.25, 0.5, 1.0)
    requests: int = 200
    seconds: float = 300.0
    probe: str | None = None
    by_hand: bool = False
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        if not self.candidate:
            raise SettingError("The rollout names no candidate: give a served model or a bundle.")
        if not 0 < self.shadow <= 1:
            raise SettingError(f"The share to shadow is {self.shadow}: it must be above 0 and at most 1.")
        if self.canary is not None and not set(self.canary) <= set(KINDS):
            raise SettingError(f"A candidate can answer {' and '.join(KINDS)}, not {', '.join(self.canary)}.")
        if not all(0 < step <= 1 for step in self.steps) or list(self.steps) != sorted(set(self.steps)):
            raise SettingError("The steps must be above 0 and at most 100 %, each above the one before.")
        if self.requests < 1 or not self.seconds >= 0:
            raise SettingError("Each step needs at least 1 request and no negative time.")

    def weight(self, step: int) -> float:
        """The share of people whom the candidate answers at a step; 0 is the one before the first."""
        return self.steps[step - 1] if step else 0.0

    def written(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Plan:
        """What ``written`` wrote."""
        canary = fields["canary"]
        rest = {
            "steps": tuple(fields["steps"]),
            "canary": None if canary is None else tuple(canary),
            "rules": Rules(**fields["rules"]),
        }
        return cls(**{**fields, **rest})
