"""The settings of rollouts: where they are kept, and how much a server does for them beside its work.

It knows nothing of where they come from, nor of the plan of a rollout.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import SettingError


@dataclass(frozen=True)
class RolloutSettings:
    """How a server takes part in rollouts.

    ``file`` is the SQLite database of all rollouts, which every process of a service shares; without one, a process
    keeps its own in memory, and forgets what is live when it stops. ``poll`` seconds pass
    between two looks at it, and so long a process may go on as before. At most ``waiting`` copies wait to be compared,
    for ``patience`` seconds; more are dropped. While more than ``busy`` requests are being answered, none is compared.
    A part of an answer's copy may take ``seconds``. ``probe_queries`` known queries are asked with each comparison.
    Raises SettingError.
    """

    file: Path | None = None
    poll: float = 0.5
    waiting: int = 64
    waiting_mb: int = 32
    patience: float = 10.0
    busy: int = 4
    seconds: float = 30.0
    probe_queries: int = 4

    def __post_init__(self) -> None:
        for name in ("poll", "patience", "seconds"):
            if not getattr(self, name) > 0:
                raise SettingError(f"The rollout's {name} is {getattr(self, name)}: it must be above 0 seconds.")
        for name in ("waiting", "waiting_mb", "busy", "probe_queries"):
            if getattr(self, name) < 1:
                raise SettingError(f"The rollout's {name} is {getattr(self, name)}: it must be at least 1.")
