"""Makes the sample pictures again: each row of samples.csv names a photo of a public data set, stored smaller.

It knows nothing about models or indexes; which photos are worth showing was chosen by eye, and is in samples.csv.
The data sets are read as Parquet files: ``grocery/train.parquet`` (columns path, image) and ``clothing/dev.parquet``
(rows in order, column image).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import pyarrow.parquet as pq

from open_autoglm.runtime.images import thumbnail

LONGEST = 448  # pixels


def make(data: Path, samples: Path) -> int:
    """Writes the picture of every row of ``samples/samples.csv``; how many they are. Raises ImageError."""
    photos = groceries(data / "grocery" / "train.parquet") | clothes(data / "clothing" / "dev.parquet")
    with (samples / "samples.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        target = samples / row["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(thumbnail(photos[row["source"]], LONGEST))
    return len(rows)


def groceries(table: Path) -> dict[str, bytes]:
    """The photos of the Grocery Store Dataset by ``grocery:`` and their path there."""
    rows = pq.read_table(table, columns=["path", "image"]).to_pylist()
    return {f"grocery:{row['path']}": row["image"] for row in rows}


def clothes(table: Path) -> dict[str, bytes]:
    """The photos of the clothing data set by ``clothing:dev/`` and their row."""
    column = pq.read_table(table, columns=["image"])["image"].to_pylist()
    return {f"clothing:dev/{number}": image for number, image in enumerate(column)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with grocery/ and clothing/")
    parser.add_argument("--to", type=Path, default=Path("samples"), help="the folder that holds samples.csv")
    arguments = parser.parse_args()
    print(f"{make(arguments.data, arguments.to)} pictures written to {arguments.to}.")
