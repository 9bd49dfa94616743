"""How rollouts stand, as the API gives it and the page and the command line show it.

It knows the store and the rules; it changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .control import as_written
from .figures import intervals
from .rules import judge
from .state import Going
from .store import Store


def status(store: Store, live: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """``live``: what this process is answering with by name and kind of work."""
    going = store.state().going
    decisions = store.decisions()
    last = going.id if going else decisions[0].rollout if decisions else None
    return {
        "live": live,
        "rollout": _described(store, going) if going else None,
        "moments": store.moments(last) if last else [],
        "decisions": [asdict(decision) for decision in decisions],
    }


def _described(store: Store, going: Going) -> dict[str, Any]:
    figures = intervals(store.evidence(going.id, going.plan), going.plan)
    others = store.others(going.id)
    verdict = judge(going, figures, time.time())
    return {
        **asdict(going),
        "weight": going.weight,
        "waits_for": verdict.sentence,
        "dropped": others.pop("dropped", (0, 0.0))[0],
        "figures": as_written(figures),
        "means": {name: total / n for name, (n, total) in others.items() if n},
    }
