"""What the tests of bulk embedding share: sources of plain colours, and all rows of a dataset."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from index_parts import paint

from open_autoglm.search.bulk.address import dataset_address
from open_autoglm.search.bulk.dataset import Dataset

NAMES = ("red", "green", "blue", "white")


def paint_colours(folder: Path, count: int) -> list[Path]:
    """Pictures of two colours each, 0000.png and on."""
    return [
        paint(folder / f"{number:04}.png", NAMES[number % 4], NAMES[number // 4 % 4], (60 + number, 48))
        for number in range(count)
    ]


def encoded(colour: str, size: tuple[int, int], folder: Path) -> bytes:
    """A PNG file's bytes."""
    return paint(folder / "one.png", colour, size=size).read_bytes()


def pack(shard: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """A tar shard."""
    shard.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(shard, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return shard


def rows(address: str | Path) -> list[dict[str, Any]]:
    """All that a dataset holds, by id, vectors as bytes."""
    dataset = Dataset.open(dataset_address(address))
    table = dataset._opened.to_table().to_pylist()
    return sorted(table, key=lambda row: row["id"])


def metadata(address: str | Path) -> list[dict[str, Any]]:
    """The metadata of all pictures, by id."""
    return [json.loads(row["metadata"]) for row in rows(address)]
