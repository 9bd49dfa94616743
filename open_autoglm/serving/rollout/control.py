"""Changes the state of rollouts and notes why: what a person asks for, and what the rules call for.

Each change is one transaction of the store, so that several processes decide once. It knows nothing of models or HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from ...errors import SettingError
from .figures import CANDIDATE_FEEDBACK, LIVE_FEEDBACK, Seen, fresh, intervals
from .rules import judge
from .sequential import Interval
from .state import Decision, Ending, Going, State
from .store import Store

RULE = "rule"


def begin(store: Store, going: Going, bundle: str | None, by: str) -> State:
    """Starts a rollout. SettingError while another is under way."""
    with store.writing():
        state = store.state()
        if state.going:
            raise SettingError(
                f"A rollout of {state.going.candidate} is under way: promote it or abort it before you start another."
            )
        bundles = {**state.bundles, going.candidate: bundle} if bundle else state.bundles
        state = replace(state, going=going, bundles=bundles)
        store.put(state)
        store.forget_tellers()
        live = " and ".join(dict.fromkeys(going.live.values()))
        _note(store, going, "started", by, f"{going.candidate} is compared with {live}, and answers nobody yet.", {})
    return state


def promote(store: Store, by: str) -> State:
    """Makes the candidate live now. SettingError where no rollout is under way."""
    with store.writing():
        state = store.state()
        going = _under_way(state)
        return _promoted(store, state, by, "A person made it live.", _figures(store, going))


def back(store: Store, kind: Ending, sentence: str, by: str = RULE, rollout: str | None = None) -> State:
    """Ends the rollout; everything is answered as before it. ``rollout``: only where that one is still under way."""
    with store.writing():
        state = store.state()
        if rollout is not None and (state.going is None or state.going.id != rollout):
            return state
        going = _under_way(state)
        return _ended(store, state, kind, by, sentence, _figures(store, going))


def tell(store: Store, rollout: str | None, seen: Seen) -> State:
    """Adds what a process saw of a rollout, and does what the rules then call for. The state after that."""
    state = store.state()
    if state.going is None:
        return state
    with store.writing():
        state = store.state()
        going = state.going
        if going is None:
            return state
        if going.id == rollout and (seen.tests or seen.others or seen.compared):
            going = _add(store, going, seen)
            state = replace(state, going=going)
            store.put(state)
        return _follow(store, state, going, seen.deaths if going.id == rollout else 0)


def feedback(store: Store, version: str, who: str, score: float) -> bool:
    """Counts what somebody thought of an answer, in 0..1; False where it does not count.

    It counts while a rollout of that version runs, and once a person and minute: many clicks of one say little more.
    """
    with store.writing():
        going = store.state().going
        if going is None or version not in (going.candidate, *going.live.values()):
            return False
        if not store.first_told(going.id, who, int(time.time() // 60)):
            return False
        name = CANDIDATE_FEEDBACK if version == going.candidate else LIVE_FEEDBACK
        evidence = store.evidence(going.id, going.plan).get(name) or fresh(name, going.plan)
        store.keep(going.id, name, evidence.after([score]))
    return True


def _add(store: Store, going: Going, seen: Seen) -> Going:
    evidence = store.evidence(going.id, going.plan)
    for name, differences in seen.tests.items():
        store.keep(going.id, name, (evidence.get(name) or fresh(name, going.plan)).after(differences))
    for name, values in seen.others.items():
        store.count(going.id, name, len(values), float(sum(values)))
    if seen.dropped:
        store.count(going.id, "dropped", seen.dropped, 0.0)
    return replace(going, compared=going.compared + seen.compared)


def _follow(store: Store, state: State, going: Going, deaths: int) -> State:
    figures = intervals(store.evidence(going.id, going.plan), going.plan)
    now = time.time()
    verdict = judge(going, figures, now, deaths)
    written = as_written(figures)
    store.remember(going.id, going.compared, written)
    if verdict.call == "back":
        return _ended(store, state, "rolled back", RULE, verdict.sentence, written)
    if verdict.call == "promote":
        return _promoted(store, state, RULE, verdict.sentence, written)
    if verdict.call == "step":
        going = replace(going, step=going.step + 1, stepped=now, compared_before=going.compared)
        state = replace(state, going=going)
        store.put(state)
        whom = f"{going.candidate} now answers {going.weight:.0%} of people."
        _note(store, going, "step", RULE, f"{verdict.sentence} {whom}", written)
    return state


def _promoted(store: Store, state: State, by: str, why: str, figures: Mapping[str, Any]) -> State:
    going = _under_way(state)
    state = state.promoted()
    store.put(state)
    rest = "" if going.same_space else f" Vectors still come from {going.live['embeddings']}, whose space is another."
    _note(store, going, "promoted", by, f"{why} {going.candidate} is live.{rest}", figures)
    return state


def _ended(store: Store, state: State, kind: Ending, by: str, sentence: str, figures: Mapping[str, Any]) -> State:
    going = _under_way(state)
    state = state.ended()
    store.put(state)
    _note(store, going, kind, by, sentence, figures)
    return state


def _note(store: Store, going: Going, kind: Ending, by: str, sentence: str, figures: Mapping[str, Any]) -> None:
    store.note(Decision(time.time(), going.id, kind, by, sentence, figures))


def _figures(store: Store, going: Going) -> dict[str, Any]:
    return as_written(intervals(store.evidence(going.id, going.plan), going.plan))


def as_written(figures: Mapping[str, Interval]) -> dict[str, Any]:
    """Figures as JSON has them."""
    return {name: asdict(one) for name, one in figures.items()}


def _under_way(state: State) -> Going:
    if state.going is None:
        raise SettingError("No rollout is under way: start one with 'autoglm rollout start'.")
    return state.going
