"""Writes a bundle with int8 graphs, calibrated on a table of training pictures and compared on another.

    python scripts/quantise_bundle.py open-autoglm-base --to build/open-autoglm-base

The tables are Parquet with a column ``image`` of encoded pictures; a column ``sentence`` or ``question``, of the same
or of another table, is what the pictures are asked about. ``--only`` leaves out the float graphs and what only
they need.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from open_autoglm.bundle import Bundle
from open_autoglm.compression.int8_bundle import Checks, Int8Settings, quantise_bundle
from open_autoglm.compression.sentences import SENTENCES
from open_autoglm.compression.static_int8 import StaticSettings

DATA = Path(__file__).parent.parent.parent / "shared" / "data"


def main() -> None:
    """Reads the tables, quantises, and says what each graph keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, default=DATA / "grocery" / "train.parquet")
    parser.add_argument("--check", type=Path, default=DATA / "grocery" / "val.parquet")
    parser.add_argument("--pictures", type=int, default=64, help="to calibrate with")
    parser.add_argument("--checked", type=int, default=32, help="pictures to compare on")
    parser.add_argument("--asked", type=Path, help="the table of sentences or questions; by default the one checked on")
    parser.add_argument("--sentences", type=int, default=200, help="sentences to compare on, if the table has any")
    parser.add_argument("--least-cosine", type=float, default=0.98, help="of picture graphs, where they are calibrated")
    parser.add_argument("--only", action="store_true")
    parser.add_argument("--any-speed", action="store_true", help="keep int8 graphs that are no faster")
    arguments = parser.parse_args()
    checks = Checks(
        column(arguments.calibration, "image", arguments.pictures),
        column(arguments.check, "image", arguments.checked, seed=1),
        asked(arguments.asked or arguments.check, arguments.sentences) or SENTENCES,
    )
    static = StaticSettings(least_cosine=arguments.least_cosine)
    settings = Int8Settings(static, only=arguments.only, least_speedup=0 if arguments.any_speed else 1)
    made = quantise_bundle(Bundle.open(arguments.bundle), arguments.to, checks, settings, overwrite=True, report=print)
    for task, figures in made.parity.items():
        print(task, ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    print(*made.notes, f"Wrote the bundle {made.path}.", sep="\n")


def asked(table: Path, count: int) -> Sequence[str]:
    """So many sentences or questions of a table, by chance; none where it has neither."""
    return column(table, "sentence", count, seed=1) or column(table, "question", count, seed=1)


def column(table: Path, name: str, count: int, seed: int = 0) -> Sequence[str]:
    """So many values of a column, by chance; none where the table has no such column."""
    if name not in pq.read_schema(table).names:
        return ()
    values = pq.read_table(table, columns=[name]).column(name)
    chosen = np.random.default_rng(seed).choice(len(values), min(count, len(values)), replace=False)
    return [values[int(row)].as_py() for row in sorted(chosen)]


if __name__ == "__main__":
    main()
