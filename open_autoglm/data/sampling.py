"""Which records a batch has, in an order that follows from seed and epoch alone and can be taken up anywhere.

It knows labels; it knows nothing about pictures or models.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from open_autoglm.errors import DataError, SettingError


class Draw(NamedTuple):
    """A record in an epoch: everything random about it follows from these and the seed."""

    epoch: int
    row: int


class PairSampler(Sampler[list[Draw]]):
    """A batch sampler: ``DataLoader(dataset, batch_sampler=PairSampler(records.labels, 256))``.

    - ``labels`` int64 [n]. ``batch_size`` is one process's; each of ``world_size`` gets its part of a common batch.
    - ``distinct_labels``: no label twice in a common batch, as far as there are batches enough to spread it.
    - ``drop_last``: leaves out, by chance, what does not fill a batch.

    Call ``set_epoch`` before each epoch, as with torch's DistributedSampler. Raises DataError where the records do not
    fill one batch, SettingError for sizes out of range.
    """

    def __init__(
        self,
        labels: NDArray[np.int64],
        batch_size: int,
        *,
        seed: int = 0,
        distinct_labels: bool = False,
        drop_last: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1 or not 0 <= rank < world_size or seed < 0:
            raise SettingError(
                f"A sampler with batch size {batch_size}, rank {rank} of {world_size} and seed {seed}: the size is at "
                "least 1, the rank below the number of processes, and the seed not negative."
            )
        if world_size > 1 and not drop_last:
            raise SettingError("Several processes need batches of one size: set drop_last.")
        common = batch_size * world_size
        if len(labels) < (common if drop_last else 1):
            raise DataError(
                f"{len(labels):,} pictures do not fill a batch of {common:,}: lower the batch size or add data."
            )
        self._labels = np.asarray(labels, np.int64)
        self._common = common
        self._seed = seed
        self._distinct = distinct_labels
        self._drop_last = drop_last
        self._rank, self._world = rank, world_size
        self._epoch = 0
        self._start = 0

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        whole, rest = divmod(len(self._labels), self._common)
        return whole + (1 if rest and not self._drop_last else 0)

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, start, self._start = self._epoch, self._start, 0
        for batch in self._batches(epoch)[start:]:
            yield [Draw(epoch, int(row)) for row in batch[self._rank :: self._world]]

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next iteration is; one that a loaded state is in the middle of goes on from there."""
        if epoch != self._epoch:
            self._epoch, self._start = epoch, 0

    def state_dict(self, batches: int) -> dict[str, Any]:
        """Where training is: ``batches`` of the current epoch were used (a loader has fetched more than that)."""
        return {"epoch": self._epoch, "batches": batches, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next iteration goes on behind the batches of ``state``. Raises DataError for other data or settings."""
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise DataError(
                    f"The checkpoint was made with {name} {state.get(name)}, this run has {value}: go on with the same "
                    "data and settings, or start anew."
                )
        self._epoch, self._start = int(state["epoch"]), int(state["batches"])
        if self._start >= len(self):
            self._epoch, self._start = self._epoch + 1, 0

    def _identity(self) -> dict[str, Any]:
        return {
            "pictures": len(self._labels),
            "common_batch": self._common,
            "processes": self._world,
            "seed": self._seed,
            "distinct_labels": self._distinct,
            "drop_last": self._drop_last,
        }

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        random = np.random.default_rng([self._seed, epoch])
        order = random.permutation(len(self._labels))
        if self._drop_last:
            order = order[: len(self) * self._common]
        if not self._distinct:
            return [order[start : start + self._common] for start in range(0, len(order), self._common)]
        # Dealt like cards, label by label: a label with at most as many rows as there are batches meets itself never.
        place = random.permutation(int(self._labels.max()) + 1)
        dealt = order[np.argsort(place[self._labels[order]], kind="stable")]
        count = len(self)
        return [random.permutation(dealt[start::count]) for start in random.permutation(count)]
