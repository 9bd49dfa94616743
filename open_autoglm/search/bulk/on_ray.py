"""Does the parts on a Ray cluster, with workers of one thread each that load the model once.

It knows Ray Data; it knows nothing about pictures or datasets.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...errors import OpenAutoGLMError, SettingError, needing
from .address import store_settings
from .dataset import DatasetFacts, Written
from .parts import Part
from .work import Worker

if TYPE_CHECKING:
    from ...runtime.model import Model

LOCAL = "local"
REACH_SECONDS = 5.0
ADVICE = "start one with 'ray start --head', or leave --cluster out to work on this machine alone"


@dataclass(frozen=True)
class OnRay:
    """``workers`` processes of the cluster, each with the model that ``load`` gives there and one thread."""

    load: Callable[[], Model]
    workers: int

    @classmethod
    def connect(cls, address: str, load: Callable[[], Model], workers: int | None = None) -> OnRay:
        """Joins the cluster at HOST:PORT or ray://HOST:PORT, or starts one of this machine for ``local``.

        By default it has a worker for each core. SettingError where nothing answers there.
        """
        ray = _ray()
        if not ray.is_initialized():
            if address != LOCAL:
                check_reachable(address)
            try:
                ray.init(
                    None if address == LOCAL else address,
                    include_dashboard=False if address == LOCAL else None,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                reason = " ".join(str(error).split())[:200].rstrip(".")
                raise SettingError(f"The cluster {address} cannot be joined ({reason}): {ADVICE}.") from error
        cores = int(ray.cluster_resources().get("CPU", 0))
        if workers is not None and workers > cores:
            raise SettingError(f"The cluster has {cores} cores, which is too few for {workers} workers of one each.")
        return cls(load, workers or max(1, cores))

    def run(self, address: str, facts: DatasetFacts, parts: Sequence[Part]) -> Iterator[Written]:
        """The parts in the order in which they get done; Ray does again what a lost machine had begun."""
        ray = _ray()
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        done = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts)).map_batches(
            Remote,
            fn_constructor_args=(address, facts, self.load),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=self.workers),
            num_cpus=1,
            runtime_env={"env_vars": {**store_settings(), "OMP_NUM_THREADS": "1"}},
        )
        try:
            for row in done.iter_rows():
                result = row["result"]
                if isinstance(result, Refusal):
                    raise result.error()
                yield result
        except ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[-300:].rstrip(".")
            raise SettingError(
                f"The cluster failed ({reason}): run the same command again, it goes on where it was."
            ) from error


@dataclass(frozen=True)
class Refusal:
    """What a worker raised; Ray would hand it on as a failure of its own, and try again."""

    kind: type[OpenAutoGLMError]
    sentence: str

    def error(self) -> OpenAutoGLMError:
        """The exception with its sentence, which some kinds would build anew."""
        return self.kind.__new__(self.kind, self.sentence)


class Remote:
    """A worker as Ray Data takes it; the model is loaded with the first part, so that a refusal comes back."""

    def __init__(self, address: str, facts: DatasetFacts, load: Callable[[], Model]) -> None:
        self._address = address
        self._facts = facts
        self._load = load

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Does the one part of a batch."""
        return {"result": [self._do(part) for part in batch["part"]]}

    @cached_property
    def _worker(self) -> Worker:
        return Worker(self._address, self._facts, self._load())

    def _do(self, part: Part) -> Written | Refusal:
        try:
            return self._worker(part)
        except OpenAutoGLMError as error:
            return Refusal(type(error), str(error))


def check_reachable(address: str) -> None:
    """Raises SettingError where nothing listens at HOST:PORT: Ray itself would wait for half a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), REACH_SECONDS):
            pass
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "it is no HOST:PORT"
        raise SettingError(f"There is no cluster at {address} ({reason}): {ADVICE}.") from error


def _ray() -> Any:
    # Ray reports its use to its makers unless it is told not to, and warns of what no user of this can change.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    with needing("Working on a cluster", "cluster"):
        import ray
        import ray.data
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray
