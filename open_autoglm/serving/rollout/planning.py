"""Makes a rollout of a plan, or says in one sentence why it cannot be followed.

It knows what is served, bundles and probes; it starts nothing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...bundle import Bundle
from ...errors import SettingError
from .gallery import Probe
from .kinds import KINDS, Kind, next_version
from .plan import Plan
from .state import Going, Quality
from .versions import Versions

Pictures = Callable[[], Sequence[bytes]]


@dataclass(frozen=True)
class Planned:
    """A rollout to start, and the bundle that its candidate is to be loaded from where it is not served yet."""

    going: Going
    bundle: str | None


def planned(plan: Plan, versions: Versions, loads: bool, pictures: Pictures | None) -> Planned:
    """``loads``: whether further bundles can be loaded. Raises SettingError, and BundleError for a damaged bundle."""
    public = plan.model or versions.default
    if public not in versions.names:
        raise SettingError(f"No model {public!r} is served: a rollout is for one of {', '.join(versions.names)}.")
    live = versions.live_of(public)
    candidate, space, bundle = _candidate(plan.candidate, public, versions, loads)
    if candidate in live.values():
        raise SettingError(f"{candidate} is live already: name another candidate.")
    same_space = space == versions.by_name[live["embeddings"]].space
    kinds = _kinds(plan, candidate, same_space)
    probe = probe_of(plan, pictures)
    quality: Quality | None = "probe" if probe and probe.known else "agreement" if same_space else None
    now = time.time()
    going = Going(uuid.uuid4().hex[:12], public, live, candidate, same_space, kinds, quality, plan, now, now)
    return Planned(going, bundle)


def probe_of(plan: Plan, pictures: Pictures | None) -> Probe | None:
    """The plan's probe, or else the index's pictures; None where there is neither. SettingError."""
    if plan.probe is not None:
        return Probe.read(plan.probe)
    found = tuple(pictures()) if pictures else ()
    return Probe(found) if found else None


def _candidate(name: str, public: str, versions: Versions, loads: bool) -> tuple[str, str, str | None]:
    if name in versions.by_name:
        return name, versions.by_name[name].space, None
    if not loads:
        raise SettingError(
            f"{name} is not served here, and this server loads no further bundles: "
            f"the candidate can be one of {', '.join(versions.by_name)}."
        )
    opened = Bundle.open(name)
    taken = [*versions.by_name, *versions.state.bundles]
    return next_version(public, taken), opened.manifest.space, str(opened.path.absolute())


def _kinds(plan: Plan, candidate: str, same_space: bool) -> tuple[Kind, ...]:
    if plan.canary is None:
        return KINDS if same_space else ("answers",)
    if "embeddings" in plan.canary and not same_space:
        raise SettingError(
            f"{candidate} embeds into another space, and vectors of two spaces cannot be compared: let it answer "
            "alone (--canary answers), and embed the pictures again before it searches."
        )
    return plan.canary
