"""What a worker does with a part: reads its pictures, embeds them, and writes the rows.

It knows the order of the steps; it knows nothing about which machine it runs on, nor of other parts.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import ImageError
from ...runtime.images import prepare, size, taken
from ..ingest import AHEAD, chunks, embed_halves, in_order
from .dataset import DatasetFacts, Row, Written, write_part
from .parts import Item, Part

if TYPE_CHECKING:
    from ...runtime.model import Model


@dataclass(frozen=True)
class Seen:
    """A picture that was read: its row without vectors, and its pixels unless it cannot be used."""

    row: Row
    prepared: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Worker:
    """Does parts of one dataset with one model; ``readers`` threads read ahead, none of them where it is 0."""

    address: str
    facts: DatasetFacts
    model: Model
    readers: int = 0

    def __call__(self, part: Part) -> Written:
        """Writes the rows of a part, a row a picture."""
        items = enumerate(part.items(), part.first)
        if self.readers:
            with ThreadPoolExecutor(self.readers, "read") as pool:
                seen = in_order(pool, lambda item: self._see(part.number, *item), items, AHEAD)
                rows = [row for batch in chunks(seen, self.model.batch_size) for row in self._embed(batch)]
        else:
            alone = (self._see(part.number, *item) for item in items)
            rows = [row for batch in chunks(alone, self.model.batch_size) for row in self._embed(batch)]
        return write_part(self.address, self.facts, part.number, rows)

    def _see(self, part: int, id: int, item: Item) -> Seen:
        """Reads and decodes a picture."""
        limits = self.model.limits
        try:
            data = item.read(limits.max_bytes)
            prepared = prepare(data, self.model.preprocessing, limits)
            width, height = size(data)
            when = taken(data)
        except ImageError as error:
            return Seen(Row(id, part, item.key, 0, item.mtime_ns, reason=str(error)), None)
        facts = json.dumps(item.facts(), ensure_ascii=False, sort_keys=True)
        digest = hashlib.sha256(data).digest()
        return Seen(Row(id, part, item.key, len(data), item.mtime_ns, digest, width, height, when, facts), prepared)

    def _embed(self, batch: list[Seen]) -> list[Row]:
        """The rows of a batch with their vectors."""
        usable = [seen.prepared for seen in batch if seen.prepared is not None]
        vectors = iter(embed_halves(self.model, usable, self.facts.views, self.facts.dimension) if usable else ())
        return [
            seen.row if seen.prepared is None else Row(**{**vars(seen.row), "vectors": next(vectors)}) for seen in batch
        ]
