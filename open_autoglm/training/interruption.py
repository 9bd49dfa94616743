"""When a training saves besides its schedule: after some minutes, and when it is told to stop.

It knows clocks and signals; it knows nothing about what is saved.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

_ECHO = 2.0  # seconds in which a second signal is the same key: torchrun passes on what the terminal sent already


class Interruption(TrainerCallback):
    """Saves every ``minutes``; after SIGTERM or Ctrl+C saves and stops at the end of the step.

    A second Ctrl+C stops at once.
    """

    def __init__(self, minutes: float) -> None:
        self.seconds = 60 * minutes
        self.saved = time.monotonic()
        self.requested = False
        self.since = 0.0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes signals inside; they belong to the main thread alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            for number in before:
                signal.signal(number, self.request)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def request(self, number: int, frame: Any) -> None:
        """Notes that the training is to stop."""
        if self.requested:
            if number == signal.SIGINT and time.monotonic() - self.since > _ECHO:
                raise KeyboardInterrupt
            return
        self.stop()
        if os.environ.get("RANK", "0") == "0":
            # A step may take a minute, and who sees nothing presses again, which saves nothing.
            print("Stopping after this step; Ctrl+C again stops at once.", file=sys.stderr, flush=True)  # noqa: T201

    def stop(self) -> None:
        """The training is to stop, from now on."""
        self.requested, self.since = True, time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        due = time.monotonic() - self.saved >= self.seconds
        due, stop = agreed(due, self.requested)
        if stop and not self.requested:
            self.stop()
        control.should_save = control.should_save or due or stop
        control.should_log = control.should_log or stop  # with the time that was trained until then
        control.should_training_stop = control.should_training_stop or stop

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved = time.monotonic()


def agreed(*flags: bool) -> tuple[bool, ...]:
    """Each flag, raised where any process raised it."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return flags
    raised = torch.tensor(flags, dtype=torch.uint8)
    if dist.get_backend() == "nccl":
        raised = raised.cuda()
    dist.all_reduce(raised, dist.ReduceOp.MAX)
    return tuple(bool(flag) for flag in raised)
