"""How many processes run the model, what a batch and the queue may hold, and when a process is replaced.

It knows bounds; it knows nothing of how they are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import SettingError


@dataclass(frozen=True)
class WorkerSettings:
    """The processes, the queue before them, and the limits of both.

    - ``workers``: processes that run the model; 0 runs it in threads of this process. ``threads``: cores that one of
      them may use; 0 shares out all there are. ``precision`` and ``engine``: as ``open_autoglm.load`` takes them.
    - ``batch_items``, ``batch_pixels``, ``batch_characters``: the most that runs at once. ``batch_seconds``: a batch is
      made so small that it is expected to take no longer. ``gather_seconds``: how long an idle model waits for more.
    - ``queue_items``, ``queue_mb``, ``queue_seconds``: a request is refused where more would wait, or where what waits
      before it is expected to take longer.
    - ``run_seconds``: a process that works longer on one batch is killed. ``start_seconds``: as long may it load.
      ``memory_mb``: a process that holds more is replaced. ``refuse_seconds``: as long is an item refused after
      a process died of it twice. ``drain_seconds``: as long may accepted requests take after a stop was asked for.

    Raises SettingError.
    """

    workers: int = 1
    threads: int = 0
    precision: str | None = None
    engine: str | None = None
    batch_items: int = 16
    batch_pixels: int = 32_000_000
    batch_characters: int = 16_384
    batch_seconds: float = 0.5
    gather_seconds: float = 0.0
    queue_items: int = 1_024
    queue_mb: int = 512
    queue_seconds: float = 5.0
    run_seconds: float = 60.0
    start_seconds: float = 120.0
    memory_mb: int = 4_096
    refuse_seconds: float = 600.0
    drain_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("workers", "threads", "gather_seconds"):
            if not getattr(self, name) >= 0:
                raise SettingError(f"{name} is {getattr(self, name)}: it must be at least 0.")
        for name in ("batch_items", "batch_pixels", "batch_characters", "queue_items", "queue_mb", "memory_mb"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        for name in _SECONDS:
            if not getattr(self, name) > 0:
                raise SettingError(f"{name} is {getattr(self, name)}: it must be above 0 seconds.")


_SECONDS = ("batch_seconds", "queue_seconds", "run_seconds", "start_seconds", "refuse_seconds", "drain_seconds")
