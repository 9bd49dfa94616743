"""Looks at the files of an index's pictures for what they look like from afar, each only once.

It knows files, picture intake and the store; it knows nothing about how looks are compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..errors import ImageError
from ..runtime.images import ImageLimits, decode
from .ingest import AHEAD, chunks, in_order, readers
from .looks import SIDE
from .records import Progress, Record, Skipped
from .rows import Known
from .store import Store

STORED_AT_ONCE = 64
DECODED = 4 * SIDE  # pixels of the shorter side that are enough


@dataclass(frozen=True)
class Seen:
    """A picture, and its dots [16, 16, 3] as bytes or why it could not be seen."""

    record: Record
    content: bytes
    dots: bytes | None
    reason: str = ""


def see(
    store: Store, records: Mapping[int, Record], progress: Callable[[Progress], None] | None
) -> tuple[dict[int, bytes], list[Skipped]]:
    """The dots of pictures by id, and those that could not be seen.

    What an index that may be written has not seen yet is kept in it, so that the next time no file is read.
    """
    dots = {id: one for id, one in store.looks().items() if id in records}
    skipped: list[Skipped] = []
    unseen = [record for id, record in records.items() if id not in dots]
    states = store.states(os.fsencode(record.file) for record in unseen)
    known = [(record, state) for record, (state, _) in zip(unseen, states, strict=True) if state]
    done = 0
    with ThreadPoolExecutor(readers(), "look") as pool:
        for batch in chunks(in_order(pool, _look, known, AHEAD), STORED_AT_ONCE):
            for seen in batch:
                done += 1
                if seen.dots is None:
                    skipped.append(Skipped(seen.record.path, seen.reason))
                else:
                    dots[seen.record.id] = seen.dots
                if progress:
                    progress(Progress(done, len(known), seen.record.path))
            if store.mode == "rw":
                store.keep_looks((one.record.id, one.content, one.dots) for one in batch if one.dots is not None)
    return dots, skipped


def dots_of(picture: bytes, limits: ImageLimits) -> bytes:
    """The dots of an encoded picture, each the mean colour of its part. Raises ImageError."""
    image = Image.fromarray(decode(picture, limits, DECODED))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)).tobytes()


def _look(one: tuple[Record, Known]) -> Seen:
    record, known = one
    limits = ImageLimits(max_bytes=known.state.size)
    try:
        status = record.file.stat()
        if (status.st_size, status.st_mtime_ns) != (known.state.size, known.state.mtime_ns):
            return Seen(record, known.sha256, None, "It has changed since it was indexed: bring the index up to date.")
        return Seen(record, known.sha256, dots_of(record.file.read_bytes(), limits))
    except OSError as error:
        return Seen(record, known.sha256, None, f"The file cannot be read: {error.strerror}.")
    except ImageError as error:
        return Seen(record, known.sha256, None, str(error))
