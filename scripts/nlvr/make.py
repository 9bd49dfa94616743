"""Makes training examples for the NLVR model: drawn scenes with sentences about them, and the labelled real ones.

Every sentence is true of one picture and false of another that is often nearly the same; half of the sentences about
a picture are true. Some sentences are those people wrote of the labelled pictures, said of drawn scenes by what the
grammar reads in them (kind ``heard``). From the repository root:

    .venv/bin/python scripts/nlvr/make.py --to build/nlvr --pictures 60000 --data ../shared/data/nlvr

writes into ``build/nlvr``: ``train.parquet`` with the columns identifier, sentence, label ("true", "false" or, where a
question counts, the number), image (PNG) and kind; ``counts.parquet``, the questions that count alone; ``tokenizer``.
What stands before the last dash of an identifier names the example, whose pictures belong into one split.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if not __package__:  # run as a file: the modules beside it are found from the repository root
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.nlvr.album import Album
from scripts.nlvr.counts import counts
from scripts.nlvr.drawing import draw, encode
from scripts.nlvr.examples import MEMBERS, examples, scenes
from scripts.nlvr.grammar import Sentence
from scripts.nlvr.reading import heard
from scripts.nlvr.real import real_rows
from scripts.nlvr.sentences import grammar
from scripts.nlvr.vocabulary import write_tokenizer

ALBUM = 512  # scenes among which the pairs for a sentence are looked for; also the pictures of a row group
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("identifier", "sentence", "label")]
    + [("image", pa.binary()), ("kind", pa.string()), ("evidence", pa.list_(pa.list_(pa.float32())))]
)
COUNTS = 6  # questions about every scene that ask for a number
Row = dict[str, Any]


def albums(
    seed: int, pictures: int, each: int, told: Mapping[bool, Sequence[Sentence]] = MappingProxyType({})
) -> Iterator[list[Row]]:
    """The made rows, an album at a time, towers and scattered things in turn; ``told`` has real sentences of either."""
    for number, first in enumerate(range(0, pictures, ALBUM)):
        rng = np.random.default_rng([seed, number])
        size = -(-min(ALBUM, pictures - first) // MEMBERS) * MEMBERS
        towered = number % 2 == 0
        made = scenes(rng, size, towered)
        album = Album.of(made)
        images = [encode(draw(scene)) for scene in made]
        yield [
            {
                "identifier": f"made{number}.{example.scene // MEMBERS}-{example.scene % MEMBERS}.{row}",
                "sentence": example.sentence,
                "label": str(example.label).lower(),
                "image": images[example.scene],
                "kind": example.kind,
                "evidence": example.evidence,
            }
            for row, example in enumerate(examples(rng, grammar(), album, each, told.get(towered, ())))
        ] + [
            {
                "identifier": f"made{number}.{count.scene // MEMBERS}-{count.scene % MEMBERS}.count{row}",
                "sentence": count.question,
                "label": str(count.answer),
                "image": images[count.scene],
                "kind": count.kind,
                "evidence": count.evidence,
            }
            for row, count in enumerate(counts(rng, grammar(), album, COUNTS))
        ]


def write(target: Path, groups: Iterator[list[Row]], real: list[Row], share: float, seed: int) -> int:
    """Writes a row group for every album, with as many real rows in it as make up the share; how many rows in all."""
    rng = np.random.default_rng([seed, 1 << 20])
    order: list[int] = []
    written = 0
    # The pages of one row group share their pictures, so that ten sentences cost one picture.
    with pq.ParquetWriter(target, SCHEMA, compression="zstd", dictionary_pagesize_limit=1 << 24) as writer:
        for group in groups:
            rows = list(group)
            for _ in range(round(len(rows) * share / (1 - share)) if real else 0):
                order = order or rng.permutation(len(real)).tolist()
                rows.append(real[order.pop()])
            writer.write_table(pa.Table.from_pylist([rows[i] for i in rng.permutation(len(rows))], SCHEMA))
            written += len(rows)
    return written


def write_counts(train: Path, target: Path) -> int:
    """The questions that count alone, for a model to begin with; how many."""
    written = 0
    with pq.ParquetFile(train) as rows, pq.ParquetWriter(target, SCHEMA, compression="zstd") as writer:
        for number in range(rows.num_row_groups):
            group = rows.read_row_group(number)
            chosen = group.filter(pc.starts_with(group["kind"], "asked"))
            writer.write_table(chosen)
            written += len(chosen)
    return written


def main() -> None:
    """Reads the command line and writes the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, required=True, help="the folder to write train.parquet into")
    parser.add_argument("--pictures", type=int, default=60_000, help="how many pictures to make")
    parser.add_argument("--sentences", type=int, default=10, help="sentences a picture, half of them true")
    parser.add_argument(
        "--data", type=Path, help="the folder that holds train_sample.parquet; without it, made ones alone"
    )
    parser.add_argument(
        "--share", type=float, default=0.1, help="the share of real rows, repeated as often as that takes"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same file")
    asked = parser.parse_args()
    started = time.monotonic()
    asked.to.mkdir(parents=True, exist_ok=True)
    source = asked.data / "train_sample.parquet" if asked.data else None
    real = real_rows(source) if source else []
    told = heard(source) if source else {}
    target = asked.to / "train.parquet"
    rows = write(target, albums(asked.seed, asked.pictures, asked.sentences, told), real, asked.share, asked.seed)
    counting = write_counts(target, asked.to / "counts.parquet")
    write_tokenizer(
        pq.read_table(target, columns=["sentence"])["sentence"].unique().to_pylist(), asked.to / "tokenizer"
    )
    print(f"{rows} rows, {counting} of which count, written to {asked.to} in {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    main()
